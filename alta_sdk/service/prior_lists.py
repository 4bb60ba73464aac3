"""Which earlier studies an archive lists of a patient, and which of them is the latest: by the rules of studies.md.

An archive may answer more than it was asked: another patient's study is left out here, whatever was asked for, and
what the dates do not order is refused, not guessed. The files that come have the last word, in `Study.from_dicom`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..dicom.filing import Filing, is_uid
from ..dicom.moments import Moment, make_moment, read_study_day, read_time
from ..errors import ServiceError

RADIOGRAPHY = frozenset({"CR", "DX"})
_WILDCARDS = frozenset("*?\\")  # of a query (PS3.4 C.2.2.2.4): they would ask for other patients, too


@dataclass(frozen=True)
class StudyListing:
    """A study as an archive lists it: patient data, never shown. modalities: empty if it does not say."""

    study_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    date: str = field(repr=False)
    time: str = field(repr=False)
    modalities: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Current:
    """Whose prior is asked for, and of when the study is that has it: patient data, never shown."""

    study_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    date: str = field(repr=False)
    moment: Moment = field(repr=False)
    elements: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, filings: Sequence[Filing]) -> "Current":
        """Read it of what the current study's images are filed by; raise ServiceError if there is nothing to ask."""
        elements = filings[0].elements
        patient_id = elements.get("PatientID", "")
        if not patient_id:
            raise ServiceError("the study states no PatientID")
        if _WILDCARDS & set(patient_id):
            raise ServiceError("the study's PatientID holds a wildcard, which would ask for others, too")
        moment = _read_moment(elements.get("StudyDate", ""), elements.get("StudyTime", ""))
        if moment is None:
            raise ServiceError("the study states no StudyDate")
        return cls(filings[0].study_uid, patient_id, elements["StudyDate"], moment, elements)

    def is_of_same_patient(self, filing: Filing) -> bool:
        """True for an image whose PatientID is the same, and whose issuer and birth date are where both state them."""
        if filing.elements.get("PatientID") != self.patient_id:
            return False
        pairs = [
            (self.elements.get(one), filing.elements.get(one)) for one in ("IssuerOfPatientID", "PatientBirthDate")
        ]
        return all(own == other for own, other in pairs if own and other)


def list_earlier(listed: Sequence[StudyListing], current: Current) -> list[StudyListing]:
    """Return the studies that may hold a prior, the latest first, as far as their dates order them.

    Raises ServiceError if they do not tell which one is the latest.
    """
    dated = []
    for study in listed:
        moment = _read_moment(study.date, study.time)
        is_wanted = (
            study.patient_id == current.patient_id
            and study.study_uid != current.study_uid
            and is_uid(study.study_uid)
            and (not study.modalities or study.modalities & RADIOGRAPHY)
        )
        if is_wanted and moment is not None and moment.is_before(current.moment, in_utc=False):
            dated.append((moment, study))
    dated.sort(key=lambda pair: pair[0].span(in_utc=False), reverse=True)
    for place, ((later, _), (one, _)) in enumerate(pairwise(dated)):
        if not one.is_before(later, in_utc=False):
            if not place:
                raise ServiceError("the archive's dates do not tell which earlier study is the latest")
            return [study for _, study in dated[:place]]
    return [study for _, study in dated]


def _read_moment(date: str, time: str) -> Moment | None:
    return make_moment(read_study_day(date), read_time(time), None)
