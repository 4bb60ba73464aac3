"""The `alta-train` command: one file per subcommand, imported when it is asked for; torch only once usage is right."""

import click

from alta_sdk import __version__
from alta_sdk.cli.option_groups import CONTEXT, debug_option
from alta_sdk.cli.program import CommandFiles, ProgramGroup
from alta_sdk.cli.terminal import show_debug_log

COMMANDS = (
    "check",
    "pair",
    "import-backbone",
    "pretrain",
    "fit",
    "teach",
    "cross-validate",
    "evaluate",
    "publish",
)


@click.group(cls=ProgramGroup, context_settings=CONTEXT, commands=CommandFiles(__name__, COMMANDS))
@click.version_option(__version__, prog_name="alta-train")
@debug_option("Log what is read, with paths, and show where an error comes from.")
def main(debug: bool) -> None:
    """Train adapters that align radiographs with reports, measure what was trained, and store it for others.

    Needs pip install 'alta-sdk[train]'; check and pair do without. Not for clinical use.
    """
    if debug:
        show_debug_log()


__all__ = ["main"]
