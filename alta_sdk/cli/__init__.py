"""The `alta` command: one file per subcommand, imported when it is asked for."""

import click

from .._version import __version__
from .option_groups import CONTEXT, debug_option
from .program import CommandFiles
from .settings import ConfiguredGroup
from .terminal import show_debug_log

COMMANDS = (
    "score",
    "compare",
    "progress",
    "locate",
    "embed",
    "archive",
    "rank",
    "calibrate",
    "validate",
    "watch",
    "inspect",
    "doctor",
    "bench",
    "demo",
    "engine",
    "keygen",
    "serve",
    "service",
)


@click.group(cls=ConfiguredGroup, context_settings=CONTEXT, commands=CommandFiles(__name__, COMMANDS))
@click.version_option(__version__, prog_name="alta")
@debug_option("Log what is read, with paths, and show where an error comes from.")
def main(debug: bool) -> None:
    """Score chest radiograph studies against report prompts, offline.

    Not for clinical use.
    """
    if debug:
        show_debug_log()


__all__ = ["main"]
