"""What a command shows a person: tables on standard output, notices and errors on standard error.

Shared by every command of the project, so that `alta` and `alta-export` look and fail alike.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from ..errors import AltaError, EngineError

P = ParamSpec("P")
T = TypeVar("T")
MIN_WIDTH = 120


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; the first column to the left, the others to the right, text taken literally."""
    click.echo(title)
    table = Table(show_edge=False, pad_edge=False, box=SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:  # a file or a pipe has no width: do not fold at 80
        console = Console(highlight=False, width=MIN_WIDTH)
    console.print(table)


def print_facts(title: str, facts: Iterable[tuple[str, Any]]) -> None:
    """Print names and values in two columns, both to the left."""
    pairs = [(str(name), str(value)) for name, value in facts]
    width = max(len(name) for name, _ in pairs)
    click.echo(title)
    for name, value in pairs:
        click.echo(f"  {name.ljust(width)}  {value}")


def print_object(value: Any) -> None:
    """Print one JSON object, in ASCII; raises EngineError for a number that JSON has not: NaN, infinity."""
    try:
        text = json.dumps(value, indent=1, allow_nan=False)
    except ValueError as error:
        raise EngineError("a number is not finite: the engine does not compute here; see alta doctor") from error
    click.echo(text)


def say(message: str) -> None:
    """Print a notice on standard error."""
    click.echo(message, err=True)


def show_progress(items: Iterable[T], count: int, what: str) -> Iterator[T]:
    """Pass items on and count them on standard error: a bar on a terminal, else a line at each tenth."""
    if not sys.stderr.isatty():
        for number, item in enumerate(items, start=1):
            yield item
            if number * 10 // count > (number - 1) * 10 // count:
                say(f"{number} of {count} {what}")
        return
    # click's bar would count an item when the next one is asked for: rich counts it when it is done.
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=count)
        for item in items:
            yield item
            progress.advance(task)


def show_debug_log() -> None:
    """Send alta-sdk's own log, with paths, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("alta_sdk")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


def replace_what_cannot_be_shown() -> None:
    """Let standard output show a replacement for what its encoding lacks: a label must not cost a finished run.

    So does standard error, by Python's own choice. Sources: Python's `sys.stderr`; pallets/click#3778.
    """
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # a stream of another kind has no encoding to miss
    if reconfigure is not None:
        reconfigure(errors="replace")


def fail_in_one_line(command: Callable[P, None]) -> Callable[P, None]:
    """Turn an AltaError of a command into one line on standard error and exit code 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        replace_what_cannot_be_shown()
        try:
            command(*args, **kwargs)
        except AltaError as error:
            if logging.getLogger("alta_sdk").isEnabledFor(logging.DEBUG):
                raise
            say(f"{type(error).__name__}: {error}")
            sys.exit(1)
        except KeyboardInterrupt:
            say("interrupted: nothing was left half-written")
            sys.exit(1)

    return run
