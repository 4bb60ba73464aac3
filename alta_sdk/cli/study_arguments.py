"""STUDY as it is given: paths, `-` for those on standard input, `@FILE` for those in a file, one a line.

A path that begins with @, or that is -, is given as ./@x and ./-. In a list every line is a path as it stands.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from ..errors import StudyError
from ..files.opening import read_bytes

MAX_LIST_BYTES = 1 << 26
STANDARD_INPUT = "-"
FROM_FILE = "@"

with_identifiers_option = click.option(
    "--with-identifiers",
    is_flag=True,
    help="Name path, StudyInstanceUID and accession number of studies in the files and in --json: patient data.",
)


def check_identifiers(with_identifiers: bool, as_json: bool) -> None:
    """Raise UsageError if identifiers are asked for of a command that has them in its JSON alone, without that."""
    if with_identifiers and not as_json:
        raise click.UsageError("--with-identifiers goes with --json: nothing else names a study")


def expand_studies(given: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the paths of studies, and the lists that they were read from, which no output may replace.

    Raises StudyError for a list that cannot be read or holds no path, UsageError for standard input given twice.
    """
    if list(given).count(STANDARD_INPUT) > 1:
        raise click.UsageError("- stands for standard input, which can be read once: give it once")
    studies = tuple(path for one in given for path in _expand(one))
    return studies, tuple(one[1:] for one in given if _is_list(one))


def _is_list(given: str) -> bool:
    return given.startswith(FROM_FILE) and len(given) > 1


def _expand(given: str) -> Iterable[str]:
    if given != STANDARD_INPUT and not _is_list(given):
        return [given]
    what = "standard input" if given == STANDARD_INPUT else "list of studies"
    try:
        data = _read_input() if given == STANDARD_INPUT else read_bytes(Path(given[1:]), MAX_LIST_BYTES)
    except OSError as error:
        raise StudyError(f"{what} cannot be read: {error.strerror or type(error).__name__}; check the path") from error
    if len(data) > MAX_LIST_BYTES or b"\0" in data:
        raise StudyError(f"{what} is no list of studies: give one path a line, {MAX_LIST_BYTES >> 20} MiB at most")
    # As the system has them: a path may hold bytes that are no text.
    paths = [os.fsdecode(line) for line in data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").split(b"\n")]
    found = [path for path in paths if path.strip()]
    if not found:
        raise StudyError(f"{what} holds no path: give one a line")
    return found


def _read_input() -> bytes:
    return sys.stdin.buffer.read(MAX_LIST_BYTES + 1)
