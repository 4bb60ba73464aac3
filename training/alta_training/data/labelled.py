"""Labelled radiographs: a metadata table (image, patient, view, findings, split) read for one finding."""

from dataclasses import dataclass
from pathlib import Path

from alta_sdk.errors import TrainingError

from .tables import find_image_folder, read_rows

NEEDED = ("image", "patient", "findings")
AGAINST = "No Finding"


@dataclass(frozen=True)
class LabelledRadiograph:
    """One radiograph with its truth; patient groups radiographs of one person, view may be empty."""

    path: Path
    patient: str
    view: str
    is_positive: bool


def read_labelled(
    path: Path, images: Path | None = None, *, split: str | None = None, finding: str, against: str = AGAINST
) -> list[LabelledRadiograph]:
    """Read the radiographs with a finding and those with `against`; others are left out.

    images: the folder of the image files; None takes `images` beside the table if it is there, else the
    table's own folder. findings are separated by "|" and compared without regard to case.
    Raises TrainingError for a table that cannot be read, lacks columns, or has only one of the two.
    """
    folder = images or find_image_folder(path)
    rows = read_rows(path, (*NEEDED, "split") if split else NEEDED)
    radiographs = []
    for row in rows:
        truth = is_positive(row["findings"], finding, against)
        if truth is not None and (split is None or row["split"] == split):
            radiographs.append(LabelledRadiograph(folder / row["image"], row["patient"], row.get("view", ""), truth))
    absent = sum(not radiograph.path.is_file() for radiograph in radiographs)
    if absent:
        raise TrainingError(
            f"labelled table {path.name}: {absent} of {len(radiographs)} image files are not there: "
            "they are looked for in images beside the table, or beside it"
        )
    if len({radiograph.is_positive for radiograph in radiographs}) < 2:
        raise TrainingError(
            f"labelled table {path.name} does not have both {finding} and {against}"
            f"{f' in split {split}' if split else ''}: an AUC needs two classes"
        )
    return radiographs


def is_positive(findings: str, finding: str, against: str = AGAINST) -> bool | None:
    """Tell whether a cell of findings, separated by "|", has the finding; None if it has neither nor `against`."""
    found = {name.strip().lower() for name in findings.split("|")}
    if finding.lower() in found:
        return True
    return False if against.lower() in found else None
