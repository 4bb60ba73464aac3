"""Tables of training and evaluation, read by the SDK's one reader."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from alta_sdk.errors import TrainingError
from alta_sdk.files import tables

# What tells each kind of table, and how it is called; the first that fits.
KINDS = {
    "training table": ("image_path", "auxview_image_path", "last_image_path", "last_auxview_image_path", "report"),
    "table of captioned radiographs": ("image", "patient", "findings", "caption", "split"),
    "labelled table": ("image", "patient", "findings"),
    "table of reports": ("uid", "findings", "impression", "mesh"),
}
MOST_NAMED, LONGEST_NAMED = 20, 40


def read_rows(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV file in UTF-8 with a header; empty cells are "".

    Raises TrainingError for a file that is not there, cannot be read, lacks a needed column or has no row; if it is
    a table of another known kind, the message says of which.
    """
    name = f"table {path.name}"
    rows = tables.read_rows(path, (), error=TrainingError, name=name)
    lacking = [column for column in needed if column not in rows[0]]
    if lacking:
        kind = find_kind(rows)
        # Its columns are not named: without a header they would be the first patient's cells.
        hint = f": it is a {kind}" if kind and not set(KINDS[kind]) >= set(needed) else ""
        raise TrainingError(f"{name} lacks the columns {', '.join(lacking)}{hint}")
    return rows


def find_kind(rows: Sequence[dict[str, str]]) -> str | None:
    """Return what kind of table rows are of, one of KINDS, or None."""
    return next((kind for kind, columns in KINDS.items() if set(columns) <= set(rows[0])), None)


def name_values(values: Iterable[str]) -> str:
    """List the values of a column of splits or findings for a message; of a column that cannot be one, only count.

    A table whose columns are confused could hold anything there.
    """
    known = sorted(set(values) - {""})
    if not known:
        return "none"
    if len(known) > MOST_NAMED or any(len(value) > LONGEST_NAMED or not value.isprintable() for value in known):
        return f"{len(known)} different values"
    return ", ".join(known)


def find_image_folder(table: Path) -> Path:
    """Return where a table's image files are: `images` beside it if that is there, else its own folder."""
    beside = table.parent / "images"
    return beside if os.path.isdir(beside) else table.parent


def check_images(table: str, paths: Sequence[Path]) -> None:
    """Raise TrainingError if image files that a table names are not there; table: what it is called."""
    absent = sum(not os.path.isfile(path) for path in paths)
    if absent:
        raise TrainingError(
            f"{table}: {absent} of {len(paths)} image files are not there: "
            "they are looked for in images beside the table, or beside it"
        )
