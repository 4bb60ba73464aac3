"""By what an archive files an object: its UIDs, and the patient and study elements, made fit to be written again.

A result has to be filed with the study that it is of, by what that study's own files say. What they say is somebody
else's: a value that its value representation does not allow (PS3.5 table 6.2-1) would make of a good result an
object that an archive refuses, so it is left out and told by its keyword. Two are needed: without a StudyInstanceUID
there is no study to file it with, and under a PatientID that was left out it would be filed as nobody's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import DicomError
from .elements import IDENTIFIERS
from .moments import read_day, read_time
from .parsing import parse_dicom

if TYPE_CHECKING:
    from pydicom import Dataset

UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
LONGEST = {"LO": 64, "SH": 16}
MAX_NAME = 64  # characters of each of a name's three groups
_UID = re.compile(r"[0-9]+(\.[0-9]+)+", re.ASCII)
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ufffd]")  # the last stands for bytes that are no text
_SEXES = ("", "F", "M", "O")


@dataclass(frozen=True)
class Filing:
    """What one object is filed by: patient data, never shown.

    elements: those of IDENTIFIERS that are stated, by keyword, each fit to be written. left_out: keywords of those that
    are stated and are not.
    """

    sop_class: str
    sop_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    study_uid: str = field(repr=False)
    elements: Mapping[str, str] = field(repr=False)
    left_out: tuple[str, ...] = ()

    def list_parts(self) -> list[str]:
        """Return what a UID is derived of that stands for this very object, filed by just this."""
        return [self.sop_uid, *(part for pair in sorted(self.elements.items()) for part in pair)]


def read_filing(source: bytes | BinaryIO) -> Filing:
    """Read what an object is filed by, of its file's bytes or the open file.

    Raises DicomError if it cannot be read, has no valid UIDs, or a PatientID that cannot be written.
    """
    header = parse_dicom(source)
    sop_class, sop_uid, series_uid, study_uid = (_read_uid(header, keyword) for keyword in UIDS)
    elements: dict[str, str] = {}
    left_out: list[str] = []
    for keyword in IDENTIFIERS:
        stated = _read_text(header, keyword)
        fit = None if stated is None else _make_fit(keyword, stated)
        if fit is None:
            left_out.append(keyword)
        elif fit:
            elements[keyword] = fit
    if "PatientID" in left_out:
        raise DicomError("result cannot be filed with the study: its PatientID is no value that may be written")
    return Filing(sop_class, sop_uid, series_uid, study_uid, elements, tuple(left_out))


def is_uid(text: str) -> bool:
    """True for a UID as PS3.5 section 9 has it; leading zeros, which are common, may be in it."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def _read_uid(header: "Dataset", keyword: str) -> str:
    uid = _read_text(header, keyword)
    if uid is None or not is_uid(uid):
        raise DicomError(f"result cannot be filed with the study: the {keyword} of an image is missing or not valid")
    return uid


def _read_text(header: "Dataset", keyword: str) -> str | None:
    """Return an element as text, empty if it is not stated; None if it holds no one text."""
    try:
        value: Any = header.get(keyword)
        if value is None:
            return ""
        is_text = isinstance(value, str) or hasattr(value, "ideographic")  # a name
        return str(value).strip(" \0") if is_text else None
    except Exception:  # pydicom decodes names when they are asked for, and raises what it likes
        return None


def _make_fit(keyword: str, text: str) -> str | None:
    """Return a value as it may be written, None if it may not."""
    from pydicom.datadict import dictionary_VR

    if _FORBIDDEN.search(text):
        return None
    vr = dictionary_VR(keyword)
    if vr == "PN":
        return text if _is_name(text) else None
    if vr == "DA":
        day = read_day(text)
        return None if text and day is None else day.strftime("%Y%m%d") if day else ""
    if vr == "TM":
        return None if text and read_time(text) is None else text.replace(":", "").rstrip(".")
    if vr == "CS":
        return text if text in _SEXES else None
    return text if len(text) <= LONGEST.get(vr, 64) else None


def _is_name(text: str) -> bool:
    groups = text.split("=")
    return len(groups) <= 3 and all(len(group) <= MAX_NAME and group.count("^") <= 4 for group in groups)
