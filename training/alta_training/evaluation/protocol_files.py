"""The published evaluation files: CheXpert 5×200 and 8×200 tables, RSNA lists."""

from dataclasses import dataclass
from pathlib import Path

from alta_sdk.errors import TrainingError
from alta_sdk.files.opening import read_text

from ..data.tables import read_rows

CHEXPERT5 = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
FIRST_CLASS_COLUMN = 5  # of an 8×200 candidate table; the path is in the first


@dataclass(frozen=True)
class Example:
    """One radiograph (path) or one text, of one class."""

    label: str
    path: Path | None = None
    text: str = ""


def read_chexpert5(path: Path, root: Path | None = None) -> list[Example]:
    """Read chexpert_5x200.csv: Path, five classes of which one is 1, Report Impression."""
    rows = read_rows(path, ("Path", "Report Impression", *CHEXPERT5))
    examples = []
    for number, row in enumerate(rows, start=1):
        found = [name for name in CHEXPERT5 if _is_one(row[name])]
        if len(found) != 1:
            raise TrainingError(f"{path.name}: row {number} has {len(found)} of the five classes, not one")
        examples.append(Example(found[0], (root or path.parent) / row["Path"], row["Report Impression"]))
    return examples


def read_queries(path: Path, root: Path) -> list[Example]:
    """Read an 8×200 query.csv: Path or Text, and Variable, the class's name."""
    rows = read_rows(path, ("Variable",))
    if "Path" not in rows[0] and "Text" not in rows[0]:
        raise TrainingError(f"{path.name} lacks Path or Text")
    return [
        Example(row["Variable"], root / row["Path"] if "Path" in row else None, row.get("Text", "")) for row in rows
    ]


def read_candidates(path: Path, root: Path) -> list[Example]:
    """Read an 8×200 candidate.csv: a path first, classes from the sixth column on, of which one is 1."""
    examples = []
    for number, row in enumerate(read_rows(path, ()), start=1):
        names = list(row)
        found = [name for name in names[FIRST_CLASS_COLUMN:] if _is_one(row[name])]
        if len(found) != 1:
            # the published script would shift every later row's label by one
            raise TrainingError(f"{path.name}: row {number} has {len(found)} classes, not one")
        examples.append(Example(found[0], root / row[names[0]]))
    return examples


def read_rsna(path: Path) -> list[Example]:
    """Read an RSNA list: a path and 0 or 1 a line, paths relative to the list."""
    try:
        lines = read_text(path, errors="ignore").split("\n")
    except OSError as error:
        raise TrainingError(f"{path.name} cannot be read: give the folder with test_list.txt") from error
    examples = []
    for number, line in enumerate((line for line in lines if line.strip()), start=1):
        name, _, label = line.strip().rpartition(" ")
        if label not in ("0", "1") or not name:
            raise TrainingError(f'{path.name}: line {number} is not "path 0" or "path 1"')
        examples.append(Example(label, path.parent / name))
    if not examples:
        raise TrainingError(f"{path.name} is empty")
    return examples


def _is_one(cell: str) -> bool:
    try:
        return float(cell) == 1
    except ValueError:
        return False
