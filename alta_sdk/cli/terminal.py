"""What a command shows a person: tables on standard output, notices and errors on standard error; and its end.

Shared by every command of the project, so that `alta` and `alta-export` look and fail alike. Texts of engines,
checkpoints, tables and studies pass here, and are shown as `spell` gives them.
"""

import errno
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from ..errors import AltaError, EngineError
from ..files.spelling import spell

P = ParamSpec("P")
T = TypeVar("T")
MIN_WIDTH = 120
OUTPUT_VERSION = 1  # of what --json prints, as docs/schemas describes it
INTERRUPTED = 130  # as shells say it: 128 and the number of SIGINT
DEBUG_VARIABLE = "ALTA_DEBUG"  # for errors before --debug is read, and commands that do not have it
OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "can't allocate memory", "failed to allocate memory", "out of memory")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; the first column to the left, the others to the right, text taken literally."""
    print_line(title)
    table = Table(show_edge=False, pad_edge=False, box=SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(Text(spell(column)), justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(spell(cell)) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:  # a file or a pipe has no width: do not fold at 80
        console = Console(highlight=False, width=MIN_WIDTH)
    console.print(table)


def print_facts(title: str, facts: Iterable[tuple[str, Any]]) -> None:
    """Print names and values in two columns, both to the left."""
    pairs = [(spell(name), spell(value)) for name, value in facts]
    width = max(len(name) for name, _ in pairs)
    print_line(title)
    for name, value in pairs:
        click.echo(f"  {name.ljust(width)}  {value}")


def print_object(value: Mapping[str, Any]) -> None:
    """Print one JSON object with its version, in ASCII; raises EngineError for a number that JSON has not: NaN."""
    try:
        text = json.dumps({"schema_version": OUTPUT_VERSION, **value}, indent=1, allow_nan=False)
    except ValueError as error:
        raise EngineError("a number is not finite: the engine does not compute here; see alta doctor") from error
    click.echo(text)


def title_run(provenance: Mapping[str, Any], *parts: str) -> str:
    """Return the line above a table: the engine, its family where that is not ALTA, what ran it, the fusion mode.

    parts: of the provenance, between family and mode; none for precision and runtime.
    """
    family = [f"family {provenance['family']}"] if "family" in provenance else []
    told = [str(provenance[part]) for part in parts or ("precision", "runtime")]
    return " · ".join([str(provenance["engine"]), *family, *told, f"fusion {provenance['fusion_mode']}"])


def print_line(line: object) -> None:
    """Print a line on standard output."""
    click.echo(spell(line))


def say(message: str) -> None:
    """Print a notice on standard error: one line, whatever is in it."""
    click.echo(spell(message), err=True)


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
    handler.setFormatter(_SpelledFormatter("%(name)s: %(message)s"))
    logger = logging.getLogger("alta_sdk")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


def show_service_log() -> None:
    """Send what a service tells of itself, study keys alone, to standard error, each line with its time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_SpelledFormatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("alta_sdk")
    logger.addHandler(handler)
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)


def replace_what_cannot_be_shown() -> None:
    """Let standard output show a replacement for what its encoding lacks: a label must not cost a finished run.

    So does standard error, by Python's own choice. Sources: Python's `sys.stderr`; pallets/click#3778.
    """
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # a stream of another kind has no encoding to miss
    if reconfigure is not None:
        reconfigure(errors="replace")


class _SpelledFormatter(logging.Formatter):
    """A formatter whose lines are spelled: paths are names that strangers gave."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line."""
        return spell(super().format(record))


def fail_in_one_line(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command end as `end_in_one_line` does."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        replace_what_cannot_be_shown()
        with end_in_one_line():
            command(*args, **kwargs)

    return run


@contextmanager
def end_in_one_line() -> Iterator[None]:
    """Turn whatever ends a command into one line without a path on standard error: exit code 1, or 130 for Ctrl-C.

    The one place where commands fail. What click raises goes on to click; a reader that closed the pipe, too.
    """
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt:
        _end("interrupted: nothing was left half-written", INTERRUPTED)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise
        if is_debugging():
            for line in "".join(traceback.format_exception(error)).splitlines():
                say(line)
        _end(describe_error(error), 1)


def describe_error(error: Exception) -> str:
    """Return an error in one line. Only our own messages are shown: others may quote a path or a patient."""
    if isinstance(error, AltaError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in OUT_OF_MEMORY):
        return "MemoryError: not enough memory here: close other programs, or ask for less at once"
    if isinstance(error, OSError):
        reason = os.strerror(error.errno) if isinstance(error.errno, int) else type(error).__name__
        return f"OSError: a file cannot be read or written: {reason}; check what was given, the disk and its rights"
    if isinstance(error, ImportError) and error.name:
        return f"{type(error).__name__}: {error.name} cannot be imported: install it, or alta-sdk again"
    return f"{type(error).__name__}: not foreseen; {DEBUG_VARIABLE}=1 in the environment shows where it comes from"


def is_debugging() -> bool:
    """True if a person asked to see where errors come from."""
    return logging.getLogger("alta_sdk").isEnabledFor(logging.DEBUG) or bool(os.environ.get(DEBUG_VARIABLE))


def _end(message: str, code: int) -> NoReturn:
    """Say why, and exit; a standard error that cannot be written to changes nothing."""
    with suppress(OSError, MemoryError):
        say(message)
    sys.exit(code)


def flush_output() -> None:
    """Write what standard output still holds, or raise OSError; what is lost then is not tried again at the exit.

    Python writes it then, too, and would fail in lines of its own.
    """
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        raise
