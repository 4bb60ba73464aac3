"""A site's table of labelled studies: a path in each row, and 1, 0 or nothing for each finding.

Other columns may say whose study it is and what it is like: kept as text, and shown only by who asks for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from ..files.tables import read_rows

NAME = "table of studies"
_CELLS = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "": -1}


@dataclass(frozen=True, eq=False)
class LabelledStudies:
    """paths: one for each row. truth: by finding, (rows,) int8: 1, 0, or -1 where it is not known.

    others: the text of further columns, by their names, one for each row: patient data.
    """

    paths: Sequence[Path]
    truth: Mapping[str, NDArray[np.int8]]
    others: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)

    def select(self, finding: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the rows where a finding is known, from 0, and its truth there."""
        rows = np.flatnonzero(self.truth[finding] >= 0)
        return rows, self.truth[finding][rows] == 1

    def group_patients(self, column: str) -> NDArray[np.int64] | None:
        """Return a number for each row (rows,), equal for rows of one patient; None if the table lacks the column.

        A row whose patient is not given is a patient of its own.
        """
        if column not in self.others:
            return None
        names = [text.strip() or f"row {row} \n" for row, text in enumerate(self.others[column])]
        return np.unique(names, return_inverse=True)[1]


def find_label_columns(table: Path, study_column: str, others: Sequence[str]) -> list[str]:
    """Return the columns of a CSV file that are neither the study's path nor among `others`: one for each finding.

    Raises CalibrationError if there is none, or a column holds anything else than 1, 0 or nothing.
    """
    rows = read_rows(table, [study_column], error=CalibrationError, name=NAME)
    found = [column for column in rows[0] if column not in (study_column, *others)]
    if not found:
        raise CalibrationError(f"no column of truth in the {NAME}: give one for each finding, of 1, 0 or nothing")
    for number, column in enumerate(rows[0], start=1):
        bad = next((place for place, row in enumerate(rows, start=1) if row[column].strip() not in _CELLS), None)
        if column in found and bad is not None:
            raise CalibrationError(
                f"column {number} of the {NAME} is no truth of 1, 0 or nothing (row {bad}): mend the cell, or name the "
                "columns of truth (--label)"
            )
    return found


def read_labelled_studies(
    table: Path, study_column: str, findings: Sequence[str], others: Sequence[str] = ()
) -> LabelledStudies:
    """Read a CSV file; paths are taken from its own folder. others: columns that are kept where the table has them.

    Raises CalibrationError for a table that cannot be read, a cell that is not 1, 0 or empty, or a study
    that is there twice, which would count double.
    """
    rows = read_rows(table, [study_column, *findings], error=CalibrationError, name=NAME)
    paths = [table.parent / row[study_column] for row in rows]
    for number, row in enumerate(rows, start=1):
        if not row[study_column].strip():
            raise CalibrationError(f"row {number} of the {NAME} has no path")
        if any(row[finding].strip() not in _CELLS for finding in findings):
            raise CalibrationError(f"row {number} of the {NAME}: truth must be 1, 0 or empty")
    if len(set(paths)) < len(paths):
        raise CalibrationError(f"a study is twice in the {NAME}: give each once")
    truth = {finding: np.array([_CELLS[row[finding].strip()] for row in rows], dtype=np.int8) for finding in findings}
    kept = {column: [row[column] for row in rows] for column in others if column in rows[0]}
    return LabelledStudies(paths, truth, kept)
