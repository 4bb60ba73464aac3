"""From a table and an engine to a validation: studies embedded once, then every label measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import CalibrationError, PromptError
from ..matching.questions import Question
from ..study.labelled import LabelledStudies
from .figures import LabelFigures, LabelStudies, Wishes, check_classes, measure_label
from .result import Validation
from .scored import EmbeddedStudy, EngineScores, UnreadStudy, score_all
from .subgroups import name_groups

GROUPS = ("view", "sex", "age", "device")


@dataclass(frozen=True)
class Columns:
    """The columns of a table: the study's path, its patient, and what subgroups are made of."""

    study: str = "study"
    patient: str = "patient"
    groups: Sequence[str] = GROUPS

    @property
    def others(self) -> tuple[str, ...]:
        """All but the study's path."""
        return (self.patient, *self.groups)


def check_labels(question: Question, labels: Sequence[str]) -> None:
    """Raise PromptError unless a question scores every label of a table."""
    lacking = [number for number, label in enumerate(labels, start=1) if label not in question.labels]
    if lacking:
        known = ", ".join(question.labels)
        raise PromptError(f"label {lacking[0]} of the table is not in the label set, which has: {known}")


def check_table(labelled: LabelledStudies, columns: Columns) -> dict[str, list[str]]:
    """Return the subgroup of each row by column, for the columns that are there; raise CalibrationError as it is bad.

    A label without two studies of each class is refused before any study is read.
    """
    for number, label in enumerate(labelled.truth, start=1):
        check_classes(number, labelled.select(label)[1])
    return {
        column: name_groups(column, labelled.others[column]) for column in columns.groups if column in labelled.others
    }


def measure_table(
    labelled: LabelledStudies,
    groups: dict[str, list[str]],
    outcomes: Sequence[EmbeddedStudy | UnreadStudy],
    questions: Sequence[Question],
    *,
    columns: Columns,
    wishes: Wishes,
    table_sha256: str,
    provenances: Sequence[dict[str, object]],
) -> tuple[Validation, EngineScores, list[EmbeddedStudy]]:
    """Measure every label of a table whose studies were embedded, one outcome a row, with one engine or two.

    Also returns the first engine's scores and the studies that have them.
    """
    found = [one for one in outcomes if isinstance(one, EmbeddedStudy)]
    for one in () if found else outcomes:
        if isinstance(one, UnreadStudy):
            raise CalibrationError(f"no study of the table can be read; row {one.name.number}: {one.error}")
    scored = [score_all(question, [one.vectors[which] for one in found]) for which, question in enumerate(questions)]
    rows = np.array([one.name.number - 1 for one in found])
    patients = labelled.group_patients(columns.patient)

    def measure(number: int, label: str) -> LabelFigures:
        known = np.flatnonzero(labelled.truth[label][rows] >= 0)
        studies = LabelStudies(
            scored[0].scores[label][known],
            labelled.truth[label][rows[known]] == 1,
            None if patients is None else patients[rows[known]],
            {column: [names[row] for row in rows[known]] for column, names in groups.items()},
            [found[row].name for row in known],
            scored[1].scores[label][known] if len(scored) > 1 else None,
        )
        check_classes(number, studies.truth)
        is_pair = bool(scored[0].question.labels[label].negative)
        prompts = scored[0].hash_prompts(label)
        return measure_label(label, prompts, studies, scored[0].find_threshold(label), is_pair, wishes)

    validation = Validation(
        [measure(number, label) for number, label in enumerate(labelled.truth, start=1)],
        len(found),
        None if patients is None else len(np.unique(patients[rows])),
        [one for one in outcomes if isinstance(one, UnreadStudy)],
        sum(bool(one.notices) for one in found),
        table_sha256,
        {**provenances[0], "fusion_mode": scored[0].mode},
        {**provenances[1], "fusion_mode": scored[1].mode} if len(scored) > 1 else None,
    )
    return validation, scored[0], found
