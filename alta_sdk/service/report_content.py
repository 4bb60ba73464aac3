"""What a report is written of, and what writing gives: values between scoring and the writers of DICOM."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ..dicom.filing import Filing
from ..errors import StudyError
from ..matching.results import ZeroShotResult
from ..study.slots import Slot
from ..study.study import Study


@dataclass(frozen=True)
class Predecessor:
    """The report of the revision before: all that a reference to it needs."""

    sop_class: str
    sop_uid: str
    series_uid: str


@dataclass(frozen=True)
class ReportContent:
    """What one revision of a study scored to.

    images: those that were scored, of the current study first, then of the prior. scored_at: local time, for people.
    notices: what a reader must be told beside the result's own: that a prior could not be had, for example.
    """

    study_key: str
    revision: int
    images: tuple[Filing, ...] = field(repr=False)
    result: ZeroShotResult
    scored_at: datetime
    notices: tuple[str, ...] = ()
    predecessor: Predecessor | None = None


@dataclass(frozen=True)
class EncodedObject:
    """A DICOM file, not yet on the disk. data: preamble, file meta information and data set."""

    sop_class: str
    sop_uid: str
    series_uid: str
    data: bytes = field(repr=False)


def pick_images(study: Study, slots: Iterable[str], filings: Iterable[Filing]) -> tuple[Filing, ...]:
    """Return what the radiographs of some slots are filed by, in the order of the slots.

    slots: names in lower case, as the provenance of a result has them. filings: of the study's files and the prior's.
    Raises StudyError if a radiograph is of none of them.
    """
    by_uid = {one.sop_uid: one for one in filings}
    picked = []
    for name in slots:
        origin = study.radiographs[Slot[name.upper()]].origin
        if origin is None or origin.instance_uid not in by_uid:
            raise StudyError("result cannot be filed: a radiograph that was scored is of none of the study's files")
        picked.append(by_uid[origin.instance_uid])
    return tuple(picked)
