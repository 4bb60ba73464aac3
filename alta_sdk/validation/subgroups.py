"""A label's AUC within groups of the studies: by view, sex, age, device, or any column that is asked for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from ..statistics.intervals import Interval
from ..statistics.resampling import bootstrap_auc

MIN_PER_CLASS = 10  # fewer positives or negatives: an AUC of them says nothing, and none is given
MAX_GROUPS = 20  # a column of more values is no grouping, and may hold names
AGE = "age"
NOT_GIVEN = "not given"
AGE_BANDS = ((18, "0 to 17"), (40, "18 to 39"), (60, "40 to 59"), (80, "60 to 79"), (150, "80 and more"))
_AGE = re.compile(r"0*(\d{1,3})(?:\.\d+)?\s*[Yy]?|0*(\d{1,3})\s*([DdWwMm])")


@dataclass(frozen=True)
class Subgroup:
    """Studies of one value of a column; auc: None if there are too few of a class."""

    column: str
    value: str
    studies: int
    patients: int
    positives: int
    negatives: int
    auc: Interval | None


def name_groups(column: str, cells: Sequence[str]) -> list[str]:
    """Return the group of each cell: its text, of ages the band.

    Raises CalibrationError for an age that is none, or a column of so many values that it is no grouping.
    """
    names = [_name_band(row, cell) if column == AGE else cell.strip() or NOT_GIVEN for row, cell in enumerate(cells, 1)]
    if len(set(names)) > MAX_GROUPS:
        raise CalibrationError(
            f"a column of groups has {len(set(names))} values, and {MAX_GROUPS} at most are taken: leave it out, or "
            "write the group into it instead of the value"
        )
    return names


def measure_subgroups(
    scores: NDArray[np.float64],
    truth: NDArray[np.bool_],
    patients: NDArray[Any] | None,
    groups: Mapping[str, Sequence[str]],
) -> tuple[Subgroup, ...]:
    """Measure a label's scores (n,) for truth (n,) within each value of each column of groups."""
    found = []
    for column, names in groups.items():
        values = np.array(names)
        for value in sorted(set(names), key=lambda name: (name == NOT_GIVEN, name)):
            rows = np.flatnonzero(values == value)
            whose = rows if patients is None else patients[rows]
            positives = int(truth[rows].sum())
            negatives = len(rows) - positives
            is_enough = min(positives, negatives) >= MIN_PER_CLASS
            auc = bootstrap_auc(scores[rows], truth[rows], whose) if is_enough else None
            found.append(Subgroup(column, value, len(rows), len(np.unique(whose)), positives, negatives, auc))
    return tuple(found)


def _name_band(row: int, cell: str) -> str:
    if not cell.strip():
        return NOT_GIVEN
    found = _AGE.fullmatch(cell.strip())
    if found is None:
        raise CalibrationError(f"row {row} of the table of studies has no age in years: write 63, or nothing")
    years = int(found[1]) if found[1] else 0  # days, weeks and months of DICOM's ages
    if found[3] and found[3] in "Mm":
        years = int(found[2]) // 12
    return next((name for below, name in AGE_BANDS if years < below), NOT_GIVEN)
