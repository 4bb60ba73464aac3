"""The one reader of CSV tables: training tables, labelled radiographs, reports, published protocols."""

import csv
from collections.abc import Sequence
from pathlib import Path

from alta_sdk.errors import TrainingError

MAX_CELL = 1 << 20


def read_rows(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV file in UTF-8 with a header; empty cells are "".

    Raises TrainingError for a file that is not there, cannot be read, lacks a needed column or has no row.
    """
    csv.field_size_limit(MAX_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            rows = [{name: value or "" for name, value in row.items() if name is not None} for row in reader]
    except FileNotFoundError as error:
        raise TrainingError(f"table {path.name} not found: give a CSV file") from error
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise TrainingError(f"table {path.name} cannot be read: it is damaged or not a CSV file in UTF-8") from error
    lacking = [name for name in needed if name not in columns]
    if lacking:
        raise TrainingError(f"table {path.name} lacks the columns {', '.join(lacking)}")
    if not rows:
        raise TrainingError(f"no usable row in {path.name}: it has none at all")
    return rows
