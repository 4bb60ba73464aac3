"""The current study and its prior: the latest earlier examination of the same patient with a usable frontal.

Never a later one, never another patient's: whoever reads the change between two studies must be able to
take that for granted.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

from ..dicom.decode_time import DecodeTime
from ..dicom.moments import NO_DAY, Moment, are_in_utc
from ..errors import DicomError, StudyError
from .examination import Examination, SetAside, check_one_patient

Read = TypeVar("Read")
NEVER = Moment(NO_DAY, is_day=True)  # keeps the place of one that states no day
MAX_DAMAGED = 4  # priors whose pixels cannot be decoded, which may take seconds each: more are not tried
NOT_TRIED = "earlier, but not decoded: others before it are damaged, or take too long"


def check_patients(examinations: Sequence[Examination], message: str) -> None:
    """Raise StudyError unless all examinations state one and the same patient."""
    if any(not examination.patient_id for examination in examinations):
        raise StudyError(f"{message}: the PatientID elements differ or are empty")
    check_one_patient([examination.images[0].keys for examination in examinations], message)


def is_earlier(one: Examination, other: Examination) -> bool:
    """True if the headers prove that one examination was before the other.

    Days must be stated; on one day, times too. Offsets from UTC are applied where both state one.
    """
    moments = (one.moment, other.moment)
    return _is_before(*moments, in_utc=are_in_utc(moments))


def _is_before(one: Moment | None, other: Moment | None, *, in_utc: bool) -> bool:
    return one is not None and other is not None and one.is_before(other, in_utc=in_utc)


def split_current(examinations: Sequence[Examination]) -> tuple[Examination, list[Examination]]:
    """Return the latest examination of one patient, and those before it, the latest first.

    Raises StudyError for several patients, or if the headers do not tell which examination is the latest.
    """
    if len(examinations) == 1:
        return examinations[0], []
    check_patients(examinations, "the studies here are not of one patient")
    ordered = sort_latest_first(examinations)
    return ordered[0], ordered[1:]


def list_priors(current: Examination, given: Sequence[Examination]) -> tuple[list[Examination], int]:
    """Return those of the given examinations that are earlier than the current, the latest first; and how many are not.

    One under the current study's StudyInstanceUID is never a prior, whatever day it states.
    Raises StudyError if one is of another patient, or none is earlier.
    """
    for one in given:
        check_patients((current, one), "prior is not of the same patient")
    others = [one for one in given if not one.is_same_study(current)]
    earlier = [one for one in others if is_earlier(one, current)]
    if not earlier and len(others) < len(given) and any(is_earlier(one, current) for one in given):
        raise StudyError("prior has the StudyInstanceUID of the current study: give an earlier study")
    if not earlier:
        raise StudyError("prior is not earlier than the current study: compare the StudyDate and StudyTime elements")
    return sort_latest_first(earlier), len(given) - len(earlier)


def pick_prior(
    earlier: Sequence[Examination], read: Callable[[Examination], Read], time: DecodeTime, *, is_required: bool
) -> tuple[Read | None, list[SetAside]]:
    """Return what `read` makes of the first of the earlier examinations, the latest first, that it can read.

    read: raises StudyError for one without a usable frontal. time: of decoding, which damaged ones may spend.
    Returns None if there is none, and what was passed over.
    Raises the first one's error if a prior is required and none is usable.
    """
    passed: list[SetAside] = []
    damaged = 0
    refusal: StudyError | None = None
    for examination in earlier:
        try:
            picked = read(examination)
        except StudyError as error:
            refusal = refusal or error
            passed.append(SetAside("folder", "study", "earlier, but it has no usable frontal radiograph"))
            damaged += isinstance(error, DicomError)
            if damaged == MAX_DAMAGED or time.is_spent:
                passed += [SetAside("folder", "study", NOT_TRIED)] * (len(earlier) - len(passed))
                break
        else:
            unused = len(earlier) - len(passed) - 1
            return picked, [*passed, *[SetAside("folder", "study", "earlier than the prior")] * unused]
    if refusal is not None and is_required:
        raise refusal
    return None, passed


def sort_latest_first(examinations: Sequence[Examination]) -> list[Examination]:
    """Return examinations by date and time, the latest first; raise StudyError if the headers do not order them."""
    in_utc = are_in_utc(one.moment for one in examinations)

    def place(one: Examination) -> tuple[bool, tuple[datetime, datetime]]:
        return one.moment is not None, (one.moment or NEVER).span(in_utc=in_utc)

    ordered = sorted(examinations, key=place, reverse=True)
    for later, one in pairwise(ordered):
        if not _is_before(one.moment, later.moment, in_utc=in_utc):
            raise StudyError(
                "which study is the latest cannot be told: compare the StudyDate and StudyTime elements, "
                "or give the current study and its prior by themselves"
            )
    return ordered
