"""`alta serve`: the workstation service, or a check of all that it needs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ServiceError
from .option_groups import FILE, json_option
from .terminal import fail_in_one_line, print_line, print_object, say, show_service_log

if TYPE_CHECKING:
    from ..service.health import Check
    from ..service.settings import Settings

config_option = click.option("--config", required=True, type=FILE, help="The configuration: service.toml.")


@click.command()
@config_option
@click.option("--check", is_flag=True, help="Try everything that the service needs, tell each, and end.")
@json_option("Print one JSON object; with --check.")
@fail_in_one_line
def serve(config: Path, check: bool, as_json: bool) -> None:
    """Receive radiographs by DICOM, score them, and send structured reports back.

    Runs until it is stopped (SIGTERM, Ctrl-C). Exits with 1 if it cannot start, or if --check finds something that
    does not work. Not for clinical use.
    """
    if as_json and not check:
        raise click.UsageError("--json goes with --check: the service itself prints nothing")
    settings = open_settings(config)
    if check:
        from ..service.check import check_service

        show_checks(check_service(settings), as_json=as_json)
        return
    from ..service.service import Service

    show_service_log()
    Service(settings).run()


def open_settings(config: Path, *, must_exist: bool = True) -> "Settings":
    """Read a configuration; print a line for each of its faults, and raise ServiceError if there is one."""
    from ..service.config import count_faults, load_settings

    settings, faults = load_settings(config, must_exist=must_exist)
    for fault in faults:
        say(f"configuration, {fault}")
    if settings is None:
        raise ServiceError(f"configuration has {count_faults(faults)}: nothing was started")
    return settings


def show_checks(checks: "list[Check]", *, as_json: bool) -> None:
    """Print a line for each check; exit with 1 if one failed."""
    failed = sum(not one.is_ok for one in checks)
    if as_json:
        rows = [{"name": one.name, "ok": one.is_ok, "told": one.told} for one in checks]
        print_object({"ok": not failed, "checks": rows})
    else:
        for one in checks:
            print_line(f"{'ok    ' if one.is_ok else 'FAILED'}  {one.name}{': ' if one.told else ''}{one.told}")
    if failed:
        say(f"ServiceError: {failed} of {len(checks)} checks failed")
        sys.exit(1)
