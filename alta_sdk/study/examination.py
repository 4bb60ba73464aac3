"""From DICOM files to examinations: the chest radiographs of each StudyInstanceUID, and what was set aside.

What is set aside is told in counts, codes and words of our own, never in a header's own text.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..dicom.body_part import check_chest
from ..dicom.files import Source, read_files
from ..dicom.image import has_image, is_dicom, read_header
from ..dicom.intensity import GreyOptions
from ..dicom.views import ViewFinding, read_view
from ..errors import DicomError, StudyError, ViewError

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class ReadOptions:
    """How DICOM studies are read; `Study.from_dicom` explains each."""

    grey: GreyOptions
    any_body_part: bool = False
    any_view: bool = False


@dataclass(frozen=True)
class SetAside:
    """Something that was found and is not scored: where, what and why.

    part: "current", "prior", or "folder" (not of the two studies). what: a view, "image", "file" or "study".
    """

    part: str
    what: str
    why: str


@dataclass(frozen=True, eq=False)
class ChestImage:
    """The header of a chest radiograph, and what it says of the view."""

    header: "Dataset"
    finding: ViewFinding


@dataclass(frozen=True, eq=False)
class Examination:
    """The chest radiographs of one StudyInstanceUID (at least one), of one patient."""

    images: tuple[ChestImage, ...]

    @property
    def patient_id(self) -> str:
        """The PatientID, empty if it is not stated."""
        return _text(self.images[0].header, "PatientID")

    @property
    def date(self) -> str:
        """The StudyDate as YYYYMMDD, empty if it is not stated as one date."""
        digits = self._text_of_all("StudyDate").replace(".", "").replace("-", "")
        return digits if re.fullmatch(r"\d{8}", digits) else ""

    @property
    def time(self) -> str:
        """The StudyTime as HHMMSS.ffffff, padded with zeros; empty if it is not stated as one time."""
        digits = self._text_of_all("StudyTime").replace(":", "")
        if not re.fullmatch(r"\d{2,6}(\.\d{0,6})?", digits):
            return ""
        clock, _, fraction = digits.partition(".")
        return f"{clock:0<6}.{fraction:0<6}"

    def _text_of_all(self, keyword: str) -> str:
        """Return what every image states that states anything; empty if they differ."""
        stated = {_text(image.header, keyword) for image in self.images} - {""}
        return stated.pop() if len(stated) == 1 else ""


def read_examinations(source: Source, options: ReadOptions) -> tuple[list[Examination], list[SetAside]]:
    """Read the files of a source and group their chest radiographs by StudyInstanceUID.

    Returns at least one examination, in the order of the files, and what is no part of any.
    Raises DicomError for a file that is damaged, ViewError or StudyError if there is no chest radiograph,
    StudyError if one examination holds images of several patients.
    """
    headers, aside = _read_headers(source)
    grouped: dict[str, list[ChestImage]] = defaultdict(list)
    refusal: ViewError | None = None
    for header in headers:
        try:
            if not options.any_body_part:
                check_chest(header)
        except ViewError as error:
            refusal = refusal or error
            aside.append(SetAside("folder", "image", str(error).partition(";")[0]))
        else:
            grouped[_text(header, "StudyInstanceUID")].append(ChestImage(header, read_view(header)))
    if not grouped:
        raise refusal or StudyError("no DICOM image in this study: the files are of other kinds")
    examinations = [Examination(tuple(images)) for images in grouped.values()]
    for examination in examinations:
        check_one_patient(image.header for image in examination.images)
    return examinations, aside


def check_one_patient(
    headers: Iterable["Dataset"], message: str = "images of one study are of several patients"
) -> None:
    """Raise StudyError unless the headers are of one patient.

    The PatientID elements must be equal; IssuerOfPatientID and PatientBirthDate must be equal where two
    headers state them, because two hospitals may have given one ID to two people.
    """
    headers = list(headers)
    for keyword in ("PatientID", "IssuerOfPatientID", "PatientBirthDate"):
        values = {_text(header, keyword) for header in headers}
        if len(values if keyword == "PatientID" else values - {""}) > 1:
            raise StudyError(f"{message}: the {keyword} elements differ")


def _read_headers(source: Source) -> tuple[list["Dataset"], list[SetAside]]:
    """Return the headers of all images; a single file must be one, beside others lie notes and reports."""
    files = read_files(source)
    headers: list[Dataset] = []
    aside: list[SetAside] = []
    seen: set[str] = set()
    for number, data in enumerate(files, start=1):
        if len(files) > 1 and not is_dicom(data):
            aside.append(SetAside("folder", "file", "not DICOM"))
            continue
        header = _read_numbered(data, number, len(files))
        instance = _text(header, "SOPInstanceUID")
        if len(files) > 1 and not has_image(header):  # reports and presentation states
            aside.append(SetAside("folder", "file", "DICOM without an image"))
        elif instance and instance in seen:
            aside.append(SetAside("folder", "file", "a copy of an image that is here already"))
        else:
            headers.append(header)
            seen.add(instance)
    return headers, aside


def _read_numbered(data: bytes, number: int, count: int) -> "Dataset":
    try:
        return read_header(data)
    except DicomError as error:
        if count == 1:
            raise
        raise DicomError(f"file {number} of {count}: {error}") from error


def _text(header: "Dataset", keyword: str) -> str:
    return str(header.get(keyword) or "").strip()
