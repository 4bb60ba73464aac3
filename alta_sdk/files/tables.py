"""The one reader of CSV tables (reports, labelled studies, and, in training, records and protocols), and their cells.

The threat in a table that is written: a label or a file name that a spreadsheet takes for a formula and runs.
"""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from ..errors import AltaError
from .opening import open_file
from .spelling import spell

MAX_CELL = 1 << 20
T = TypeVar("T")
# At a cell's start, and behind what a spreadsheet of another language takes for the end of a cell.
_FORMULA = re.compile(r"(^|[;,\t\r\n])(?=[\s\"']*[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r\n])")


def read_rows(path: Path, needed: Sequence[str], *, error: type[AltaError], name: str) -> list[dict[str, str]]:
    """Read a CSV file in UTF-8 with a header; empty cells are "".

    error, name: the class to raise and what to call the table in its message. Raised for a file that is
    not there, cannot be read, lacks a needed column, has two columns of one name, or has no row.
    """
    csv.field_size_limit(MAX_CELL)
    try:
        with io.TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            rows = [{key: value or "" for key, value in row.items() if key is not None} for row in reader]
    except FileNotFoundError as missing:
        raise error(f"{name} not found: give a CSV file") from missing
    except (OSError, csv.Error, UnicodeDecodeError) as damage:
        raise error(f"{name} cannot be read: it is damaged or not a CSV file in UTF-8") from damage
    for number, column in enumerate(columns, start=1):
        if column and column in columns[: number - 1]:  # which of the two is meant nobody knows
            raise error(f"column {number} of {name} has the name of an earlier one: rename it, or take it out")
    if len(columns) == 1 and columns[0] not in needed and any(mark in columns[0] for mark in ";\t"):
        # As spreadsheets write CSV files where the comma is the decimal sign.
        raise error(f"cells of {name} are not separated by commas: save it as CSV with commas")
    lacking = [column for column in needed if column not in columns]
    if lacking:
        raise error(f"{name} lacks the columns {', '.join(lacking)}")
    if not rows:
        raise error(f"no usable row in {name}: it has none at all")
    return rows


def quote_formula(cell: T) -> T | str:
    """Return a cell so that no spreadsheet runs it: text that would be a formula gets an apostrophe before it.

    Numbers stay as they are. Source: OWASP, CSV Injection.
    """
    return _FORMULA.sub(r"\1'", cell) if isinstance(cell, str) else cell


def show_cell(cell: object) -> object:
    """Return a cell that neither a spreadsheet runs nor a terminal obeys; numbers stay as they are."""
    return spell(quote_formula(cell)) if isinstance(cell, str) else cell
