"""Labelled radiographs: a metadata table (image, patient, view, findings, split) read for one finding."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alta_sdk.errors import TrainingError

from .tables import check_images, find_image_folder, name_values, read_rows

NEEDED = ("image", "patient", "findings")
AGAINST = "No Finding"


@dataclass(frozen=True)
class LabelledRadiograph:
    """One radiograph with its truth; patient groups radiographs of one person, view may be empty.

    findings: all that its row names, in lower case.
    """

    path: Path
    patient: str
    view: str
    is_positive: bool
    findings: frozenset[str] = frozenset()


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
            found = frozenset(name.lower() for name in split_findings(row["findings"]))
            own = LabelledRadiograph(folder / row["image"], row["patient"], row.get("view", ""), truth, found)
            radiographs.append(own)
    check_images(f"labelled table {path.name}", [radiograph.path for radiograph in radiographs])
    if len({radiograph.is_positive for radiograph in radiographs}) < 2:
        raise TrainingError(f"labelled table {path.name} {_tell_lack(rows, split, finding, against)}")
    return radiographs


def _tell_lack(rows: Sequence[Mapping[str, str]], split: str | None, finding: str, against: str) -> str:
    """Say why rows have not two classes, with the splits or the findings that they have."""
    if split is not None and all(row["split"] != split for row in rows):
        return f"has no row of split {split}: its splits are {name_values(row['split'] for row in rows)}"
    own = [row for row in rows if split is None or row["split"] == split]
    lack = (
        f"does not have both {finding} and {against}{f' in split {split}' if split else ''}: an AUC needs two classes"
    )
    found = {name for row in own for name in split_findings(row["findings"])}
    if {finding.lower(), against.lower()} <= {name.lower() for name in found}:
        return lack
    return f"{lack}; its findings are {name_values(found)}"


def count_findings(path: Path, split: str | None = None, against: str = AGAINST) -> Counter[str]:
    """Return the findings that a table names, as it spells them first, by their number of radiographs.

    split: of these rows alone; None counts all. `against` is no finding. Raises TrainingError as `read_labelled`.
    """
    rows = read_rows(path, (*NEEDED, "split") if split else NEEDED)
    spelled: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for row in rows:
        if split is None or row["split"] == split:
            own = {name.lower(): name for name in split_findings(row["findings"])}
            counts.update(spelled.setdefault(key, name) for key, name in own.items() if key != against.lower())
    return counts


def is_positive(findings: str, finding: str, against: str = AGAINST) -> bool | None:
    """Tell whether a cell of findings, separated by "|", has the finding; None if it has neither nor `against`."""
    found = {name.lower() for name in split_findings(findings)}
    if finding.lower() in found:
        return True
    return False if against.lower() in found else None


def split_findings(cell: str) -> list[str]:
    """Return the names in a cell of findings, separated by "|".

    Raises TrainingError for a cell that says No Finding beside a finding.
    """
    names = [name.strip() for name in cell.split("|") if name.strip()]
    lowered = {name.lower() for name in names}
    if AGAINST.lower() in lowered and len(lowered) > 1:
        raise TrainingError(f'findings "{cell[:80]}" say {AGAINST} beside a finding: correct the table')
    return names


def spell_finding(finding: str) -> str:
    """Return a table's name of a finding as a prompt says it: Pleural_Thickening is pleural thickening."""
    return finding.replace("_", " ").lower()
