"""Tables of training and evaluation, read by the SDK's one reader."""

import os
from collections.abc import Sequence
from pathlib import Path

from alta_sdk.errors import TrainingError
from alta_sdk.files import tables


def read_rows(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV file in UTF-8 with a header; empty cells are "".

    Raises TrainingError for a file that is not there, cannot be read, lacks a needed column or has no row.
    """
    return tables.read_rows(path, needed, error=TrainingError, name=f"table {path.name}")


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
