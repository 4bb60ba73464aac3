"""One DICOM image as the rest of the SDK sees it: its header read once, into a frozen value.

Everything that a study needs of a header is asked here, in one place, and checked: whose image it is and of
when, what it shows and from which side, how it lies, what speaks for or against taking it, and the stored
pixels with what describes them. Behind this room nobody sees a data set.
"""

from collections.abc import MutableSequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError
from .body_part import RADIOGRAPHY, refuse_body_part
from .bounded_file import ReadBudget
from .contradictions import PADDED
from .decode_time import DecodeTime
from .elements import IDENTIFIERS
from .intensity import VOI, GreyOptions, scale_intensity, split_profile
from .luts import Display, read_display
from .moments import Moment, is_unread_offset, read_acquired, read_day, read_offset, read_study_day, read_time
from .orientation import Lie, read_lie
from .parsing import parse_dicom
from .pixels import StoredPixels, decode_first_frame, read_pixels
from .stated import Stated
from .views import KNOWN_POSITIONS, ViewFinding, read_view

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class ImageKeys:
    """Whose image it is, of which study and when, as stated and never shown: patient data.

    study_day, study_time, utc_offset: StudyDate, StudyTime and TimezoneOffsetFromUTC. birth_date: YYYYMMDD.
    has_unread_offset: one is stated that is none. Each other is empty or None if it is not stated, or if it is no real
    day or time.
    """

    study_uid: str = field(repr=False)
    instance_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    birth_date: str = field(repr=False)
    study_day: datetime | None = field(repr=False)
    study_time: timedelta | None = field(repr=False)
    utc_offset: timedelta | None = field(repr=False)
    has_unread_offset: bool = field(repr=False, compare=False)
    acquired: Moment | None = field(repr=False)


@dataclass(frozen=True)
class ImageTraits:
    """What speaks for or against an image among several of one view. pixels: rows × columns, 0 if not stated."""

    is_quality_control: bool
    is_partial_view: bool
    is_for_processing: bool
    is_radiography: bool
    is_derived: bool
    has_burned_in_text: bool
    is_compressed_with_loss: bool
    pixels: int


@dataclass(frozen=True, eq=False)
class DicomImage:
    """What one DICOM file says.

    has_pixels: it describes an image (structured reports and presentation states do not).
    body_part_refusal: why it is no chest radiograph, or nothing. finding: the view that it tells.
    view_position: its code if that is one that is known, else nothing.
    display: how it is shown, for profile voi-v1. notices: what a user must be told of how the image is
    read; no header value is in them but a count. identifiers: the patient and study elements by keyword, as stated
    and never shown: patient data.
    """

    keys: ImageKeys
    has_pixels: bool
    body_part_refusal: str
    finding: ViewFinding
    view_position: str
    lie: Lie
    traits: ImageTraits
    stored: StoredPixels
    display: Stated[Display]
    notices: tuple[str, ...]
    identifiers: Stated[dict[str, str]] = field(repr=False)

    def share_time(self, time: DecodeTime) -> "DicomImage":
        """Return it as one of a study, whose images share what decoding them may take."""
        return replace(self, stored=replace(self.stored, time=time))


@dataclass(frozen=True)
class ImageOrigin:
    """The file that pixels came from, bound when they were read: patient data, never shown.

    identifiers: the patient and study elements by keyword, as stated. instance_uid: the SOPInstanceUID, or empty.
    """

    identifiers: Stated[dict[str, str]] = field(repr=False)
    instance_uid: str = field(repr=False)

    @classmethod
    def of(cls, image: DicomImage) -> "ImageOrigin":
        """Take what names the file of an image."""
        return cls(image.identifiers, image.keys.instance_uid)

    def is_of(self, image: DicomImage) -> bool:
        """True if an image states the same identifiers, that of the instance too."""
        if self.instance_uid != image.keys.instance_uid:
            return False
        return self.identifiers.get() == image.identifiers.get()


def read_image(source: bytes | BinaryIO, budget: ReadBudget | None = None) -> DicomImage:
    """Read a DICOM file, with or without preamble and file meta information; no pixel is decoded.

    source: its bytes, or the open file. budget: shared with other files.
    Raises DicomError if it is not DICOM, ends too early, or is larger or deeper than the bounds.
    """
    return interpret_header(parse_dicom(source, budget))


def interpret_header(header: "Dataset") -> DicomImage:
    """Say what a parsed header says of its image."""
    stored = read_pixels(header)
    return DicomImage(
        keys=_read_keys(header),
        has_pixels="Rows" in header or "PixelData" in header,
        body_part_refusal=refuse_body_part(header),
        finding=read_view(header),
        view_position=_read_position(header),
        lie=read_lie(header),
        traits=_read_traits(header),
        stored=stored,
        display=Stated.read(lambda: _read_display(header, stored)),
        notices=_tell_pixels(stored),
        identifiers=Stated.read(lambda: {name: str(header.get(name) or "") for name in IDENTIFIERS}),
    )


def decode_grey(image: DicomImage, options: GreyOptions) -> NDArray[np.uint8]:
    """Decode the first frame of an image and bring it to grey levels.

    Returns (height, width) uint8, or (height, width, 3) for a colour capture; bright is dense tissue.
    Raises DicomError if there are no pixels, or more than this reads, or they cannot be decoded;
    EngineError for an unknown profile.
    """
    profile, is_coarse = split_profile(options.profile)
    if not image.stored.is_there:
        raise DicomError("DICOM file holds no pixel data: it is truncated or not an image object; send the image again")
    if image.traits.is_for_processing and not options.allow_for_processing:
        raise DicomError(
            "image is raw detector data (for processing): give the image for presentation, or pass "
            "allow_for_processing=True (--allow-for-processing)"
        )
    if options.window is not None and profile != VOI:
        raise DicomError(f"a window cannot be chosen with intensity profile {profile}: only {VOI} applies windows")
    layout = image.stored.layout.get()
    is_shown = profile == VOI and layout.samples == 1
    display = image.display.get().choose(options.window) if is_shown else None
    stored = decode_first_frame(image.stored, is_coarse=is_coarse)
    return scale_intensity(stored, is_monochrome1=layout.is_monochrome1, profile=profile, display=display)


def _read_display(header: "Dataset", stored: StoredPixels) -> Display:
    layout = stored.layout.get()
    return read_display(header, is_monochrome1=layout.is_monochrome1, is_signed=layout.is_signed)


def _tell_pixels(stored: StoredPixels) -> tuple[str, ...]:
    """Return what a user must be told of how pixels are read."""
    try:
        frames, padding = stored.layout.get().frames, stored.count_padding()
    except DicomError:  # decoding says so, if the image is taken
        return ()
    told = (f"image has {frames} frames: the first was read",) if frames > 1 else ()
    return (*told, PADDED) if padding else told


def _read_keys(header: "Dataset") -> ImageKeys:
    return ImageKeys(
        study_uid=_text(header, "StudyInstanceUID"),
        instance_uid=_text(header, "SOPInstanceUID"),
        patient_id=_text(header, "PatientID"),
        issuer=_text(header, "IssuerOfPatientID"),
        birth_date=_read_birth_date(header),
        study_day=read_study_day(_text(header, "StudyDate")),
        study_time=read_time(_text(header, "StudyTime")),
        utc_offset=read_offset(_text(header, "TimezoneOffsetFromUTC")),
        has_unread_offset=is_unread_offset(_text(header, "TimezoneOffsetFromUTC")),
        acquired=read_acquired(header),
    )


def _read_position(header: "Dataset") -> str:
    position = _code(header, "ViewPosition")
    return position if position in KNOWN_POSITIONS else ""


def _read_birth_date(header: "Dataset") -> str:
    day = read_day(_text(header, "PatientBirthDate"))
    return "" if day is None else day.strftime("%Y%m%d")


def _read_traits(header: "Dataset") -> ImageTraits:
    return ImageTraits(
        is_quality_control=_code(header, "QualityControlImage") == "YES",
        is_partial_view=_code(header, "PartialView") == "YES",
        is_for_processing=_code(header, "PresentationIntentType") == "FOR PROCESSING",
        is_radiography=str(header.get("Modality") or "").upper() in RADIOGRAPHY,
        is_derived=_first_code(header, "ImageType") == "DERIVED",
        has_burned_in_text=_code(header, "BurnedInAnnotation") == "YES",
        is_compressed_with_loss=_code(header, "LossyImageCompression") == "01",
        pixels=_count(header, "Rows") * _count(header, "Columns"),
    )


def _text(header: "Dataset", keyword: str) -> str:
    return str(header.get(keyword) or "").strip()


def _code(header: "Dataset", keyword: str) -> str:
    return _text(header, keyword).upper()


def _first_code(header: "Dataset", keyword: str) -> str:
    value: Any = header.get(keyword) or ""
    return str(value[0] if isinstance(value, MutableSequence) else value).strip().upper()


def _count(header: "Dataset", keyword: str) -> int:
    value: Any = header.get(keyword)
    return value if isinstance(value, int) else 0
