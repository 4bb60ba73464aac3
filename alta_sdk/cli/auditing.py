"""--audit and ALTA_AUDIT: what a command adds to the site's audit log, and how it ends where that failed."""

import os

import click

from ..matching.audit_log import AUDIT_VARIABLE, PROGRAM, AuditLog

audit_option = click.option(
    "--audit",
    type=click.Path(),
    metavar="FILE",
    help=f"Add a line of JSON for each study to FILE, without identifiers. [default: the file of {AUDIT_VARIABLE}]",
)


def open_audit(given: str | None) -> AuditLog | None:
    """Open the log that is asked for; raises AltaError before any work.

    A line that cannot be written later costs no result: the command says so at its end, and exits with 1.
    """
    path = given or os.environ.get(AUDIT_VARIABLE, "")
    if not path:
        return None
    context = click.get_current_context(silent=True)
    actor = f"alta {context.info_name}" if context is not None else PROGRAM
    log = AuditLog(path, actor=actor, keeps_on=context is not None)
    if context is not None:
        context.call_on_close(log.check)
    return log
