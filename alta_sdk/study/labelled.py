"""A site's table of labelled studies: a path in each row, and 1, 0 or nothing for each finding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from ..files.tables import read_rows

_CELLS = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "": -1}


@dataclass(frozen=True, eq=False)
class LabelledStudies:
    """paths: one for each row. truth: by finding, (rows,) int8: 1, 0, or -1 where it is not known."""

    paths: Sequence[Path]
    truth: Mapping[str, NDArray[np.int8]]

    def select(self, finding: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the rows where a finding is known, from 0, and its truth there."""
        rows = np.flatnonzero(self.truth[finding] >= 0)
        return rows, self.truth[finding][rows] == 1


def read_labelled_studies(table: Path, study_column: str, findings: Sequence[str]) -> LabelledStudies:
    """Read a CSV file; paths are taken from its own folder.

    Raises CalibrationError for a table that cannot be read, a cell that is not 1, 0 or empty, or a study
    that is there twice, which would count double.
    """
    name = "table of studies"
    rows = read_rows(table, [study_column, *findings], error=CalibrationError, name=name)
    paths = [table.parent / row[study_column] for row in rows]
    for number, row in enumerate(rows, start=1):
        if not row[study_column].strip():
            raise CalibrationError(f"row {number} of the {name} has no path")
        if any(row[finding].strip() not in _CELLS for finding in findings):
            raise CalibrationError(f"row {number} of the {name}: truth must be 1, 0 or empty")
    if len(set(paths)) < len(paths):
        raise CalibrationError(f"a study is twice in the {name}: give each once")
    truth = {finding: np.array([_CELLS[row[finding].strip()] for row in rows], dtype=np.int8) for finding in findings}
    return LabelledStudies(paths, truth)
