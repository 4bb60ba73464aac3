"""The `alta` command: one file per subcommand."""

import click

from .._version import __version__
from .bench import bench
from .calibrate import calibrate
from .compare import compare
from .demo import demo
from .doctor import doctor
from .embed import embed
from .inspect import inspect
from .keygen import keygen
from .locate import locate
from .option_groups import CONTEXT, debug_option
from .program import ProgramGroup
from .progress import progress
from .rank import rank
from .score import score
from .serve import serve
from .service import service
from .terminal import show_debug_log


@click.group(cls=ProgramGroup, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="alta")
@debug_option("Log what is read, with paths, and show where an error comes from.")
def main(debug: bool) -> None:
    """Score chest radiograph studies against report prompts, offline.

    Not for clinical use.
    """
    if debug:
        show_debug_log()


COMMANDS = (
    *(score, compare, progress, locate, embed, rank, calibrate),
    *(inspect, doctor, bench, demo, keygen),
    *(serve, service),
)

for command in COMMANDS:
    main.add_command(command)

__all__ = ["main"]
