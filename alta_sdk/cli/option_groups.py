"""What commands share: single options, and options given to a command as one frozen object.

For every command of the project, so that an option is named, checked and explained alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ..engine.manifest_content import KNOWN_MODES

Command = Callable[..., None]
Decorator = Callable[[Command], Command]

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
COUNT = click.IntRange(min=1)

threads_option = click.option("--threads", type=COUNT, help="Threads to use. [default: every processor]")

trust_option = click.option(
    "--trust",
    type=click.Path(),
    metavar="PUBKEY",
    envvar="ALTA_TRUST",
    help="Open an engine only if one of the keys in this file has signed it. [default: the file of ALTA_TRUST]",
)


def fusion_mode_option(help: str, default: str | None = None, modes: Sequence[str] = KNOWN_MODES) -> Decorator:
    """Return --fusion-mode, with or without a default that the help shows; the engine decides which it has."""
    return click.option(
        "--fusion-mode", type=click.Choice(modes), default=default, show_default=default is not None, help=help
    )


def overwrite_option(what: str, more: str = "; never what this command did not write") -> Decorator:
    """Return --overwrite; what: "a file that is". more: what else its help says."""
    return click.option("--overwrite", is_flag=True, help=f"Replace {what} already there{more}.")


def json_option(help: str = "Print one JSON object.") -> Decorator:
    """Return --json, given to the command as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def debug_option(help: str) -> Decorator:
    """Return --debug."""
    return click.option("--debug", is_flag=True, help=help)


def group_options(
    name: str, kind: Callable[..., object], *options: Decorator, make: Callable[..., object] | None = None
) -> Decorator:
    """Return a decorator that gives a command click's options and hands them over as one argument.

    name: of the argument. kind: a dataclass whose fields are named as the options' parameters.
    make: makes the argument of those parameters, where it is not the dataclass itself.
    """
    parameters = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    build = make or kind

    def decorate(command: Command) -> Command:
        @wraps(command)
        def collect(**given: Any) -> None:
            group = build(**{parameter: given.pop(parameter) for parameter in parameters})
            command(**{name: group}, **given)

        decorated: Command = collect
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate
