"""What objectives may read of a step: the words by which they tell the data set what to prepare."""

from enum import Enum, auto


class Need(Enum):
    """One part of a step.

    Studies, reports and hidden words are in every batch: those a data set prepares whatever is needed.
    TARGET: the current frontal is read at twice the resolution, too. CAPTION: a second text of the study,
    from the table's column `caption`. LABELS: what is found, from the column `radiograph_findings`, and what
    each sentence of the report claims. TEACHER: a larger text model's vector of the report.
    """

    STUDY = auto()
    PATCHES = auto()
    REPORT = auto()
    WORDS = auto()
    CAPTION = auto()
    HIDDEN_WORDS = auto()
    TARGET = auto()
    LABELS = auto()
    TEACHER = auto()
