"""What training would see in a table: its rows, images, findings, splits and patients, and the rows it refuses.

Torch is not needed for it. Counts alone, and names of findings and splits; never a file's name or a patient.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alta_sdk.errors import TrainingError
from alta_sdk.study.slots import Slot

from .labelled import AGAINST, split_findings
from .pixels import PixelReader
from .records import FINDINGS, BadRow, Progress, Record, check_records, read_table
from .tables import KINDS, LONGEST_NAMED, MOST_NAMED, find_image_folder, find_kind, name_values, read_rows

ALL = "all"
TRAINING = next(iter(KINDS))


@dataclass(frozen=True)
class Survey:
    """A table surveyed.

    kind: one of KINDS. slots: radiographs by slot. findings, patients, radiographs: of usable rows, by split, or
    under "all"; patients is empty without such a column. splits: their names, or how many where they are too many
    for splits, "" without any. shared: patients of more than one. bad: refused rows.
    """

    kind: str
    rows: int
    slots: Mapping[str, int]
    bad: Sequence[BadRow]
    radiographs: Mapping[str, int]
    patients: Mapping[str, int] = field(default_factory=dict)
    findings: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    splits: str = ""
    shared: int = 0

    @property
    def usable(self) -> int:
        """Rows that training takes."""
        return self.rows - len(self.bad)


def survey_table(
    path: Path, root: Path | None, reader: PixelReader, workers: int = 0, progress: Progress | None = None
) -> Survey:
    """Read a table and every image of it as training does; root: where image paths start, as for its kind.

    Raises TrainingError for a file that is no table, or of no known kind.
    """
    rows = read_rows(path, ())
    kind = find_kind(rows)
    if kind is None or "image" not in rows[0] and kind != TRAINING:
        kinds = "; ".join(f"{name}: {', '.join(columns)}" for name, columns in KINDS.items() if "image" in columns[0])
        raise TrainingError(f"table {path.name} is of no kind that training reads; columns of a {kinds}")
    if kind == TRAINING:
        records = read_table(path, root)
    else:
        folder = root or find_image_folder(path)
        records = [Record(n, (folder / row["image"], None, None, None), kind) for n, row in enumerate(rows, start=1)]
    splits = _name_splits(rows)
    if len({row.get("split") for row in rows}) > MOST_NAMED:
        rows = [{**row, "split": ""} for row in rows]  # a column that cannot be one: counted, not shown
    bad = check_records(records, lambda image: reader.read(image, with_target=kind == TRAINING), workers, progress)
    bad += _find_contradictions(rows, {row.row for row in bad})
    good = [row for number, row in enumerate(rows, start=1) if number not in {one.row for one in bad}]
    slots = Counter(
        slot.name.lower()
        for record in records
        for slot, image in zip(Slot, record.images, strict=True)
        if image is not None
    )
    return Survey(
        kind,
        len(rows),
        slots,
        sorted(bad, key=lambda one: one.row),
        Counter(_split(row) for row in good),
        _count_patients(good),
        _count_findings(good),
        splits,
        _count_shared(good),
    )


def _find_contradictions(rows: Sequence[Mapping[str, str]], known: set[int]) -> list[BadRow]:
    bad = []
    for number, row in enumerate(rows, start=1):
        try:
            _read_findings(row)
        except TrainingError:
            if number not in known:
                bad.append(BadRow(number, f"findings say {AGAINST} beside a finding"))
    return bad


def _name_splits(rows: Sequence[Mapping[str, str]]) -> str:
    """Name the splits of a table, or say how many values are no splits, or "" for none."""
    return name_values(row["split"] for row in rows) if any(row.get("split") for row in rows) else ""


def _read_findings(row: Mapping[str, str]) -> list[str]:
    return split_findings(row.get(FINDINGS, row.get("findings", "")))


def _split(row: Mapping[str, str]) -> str:
    split = row.get("split", "")
    return split if 0 < len(split) <= LONGEST_NAMED else ALL


def _count_patients(rows: Sequence[Mapping[str, str]]) -> dict[str, int]:
    if not rows or "patient" not in rows[0]:
        return {}
    by_split: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        by_split[_split(row)].add(row["patient"])
    return {split: len(patients) for split, patients in by_split.items()}


def _count_shared(rows: Sequence[Mapping[str, str]]) -> int:
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        splits[row.get("patient", "")].add(_split(row))
    return sum(len(own) > 1 for patient, own in splits.items() if patient)


def _count_findings(rows: Sequence[Mapping[str, str]]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for name in _read_findings(row):
            counts[name][_split(row)] += 1
    return dict(sorted(counts.items(), key=lambda item: -item[1].total())[:MOST_NAMED])
