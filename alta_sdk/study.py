"""A study: up to four radiographs, each in its slot, valid once constructed.

Radiographs are decoded when the study is made, so that a damaged file is refused here and not in the
middle of a run.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .dicom import decode_grey, has_image, is_dicom, read_header, read_notices
from .errors import DicomError, StudyError, ViewError
from .geometry import to_model_pixels
from .intensity import AS_STORED, PUBLISHED, GreyOptions
from .study_files import PathLike, Source, read_files
from .views import View, check_chest, read_view

if TYPE_CHECKING:
    from pydicom import Dataset

ImageSource = PathLike | NDArray[np.uint8]


class Slot(IntEnum):
    """The four places of a study, in the order of the published model's slots."""

    FRONTAL = 0
    LATERAL = 1
    PRIOR_FRONTAL = 2
    PRIOR_LATERAL = 3


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One radiograph, read-only.

    grey_u8: (height, width) or (height, width, 3) uint8 on its own pixel grid, bright is dense tissue.
    pixels_u8: (224, 224) uint8, what the model sees.
    intensity_profile: how stored values became grey ("as-stored" for JPEG and PNG).
    view_source: the DICOM keyword that told the view, or "caller".
    notices: what a user must be told of how it was read, such as frames that were not.
    """

    grey_u8: NDArray[np.uint8]
    intensity_profile: str
    view_source: str = "caller"
    notices: tuple[str, ...] = ()
    pixels_u8: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        """Make the model pixels; raise StudyError if the image cannot be used."""
        object.__setattr__(self, "pixels_u8", to_model_pixels(self.grey_u8))
        for array in (self.grey_u8, self.pixels_u8):
            array.setflags(write=False)


@dataclass(frozen=True, eq=False)
class Study:
    """Radiographs by slot; the current frontal is always there."""

    radiographs: Mapping[Slot, Radiograph]

    def __post_init__(self) -> None:
        """Refuse a study without a current frontal radiograph (ViewError)."""
        if Slot.FRONTAL not in self.radiographs:
            raise ViewError("study has no current frontal radiograph: the model cannot score it")
        ordered = {slot: self.radiographs[slot] for slot in Slot if slot in self.radiographs}
        object.__setattr__(self, "radiographs", MappingProxyType(ordered))

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots that are filled, in the model's order."""
        return tuple(self.radiographs)

    @classmethod
    def from_images(
        cls,
        frontal: ImageSource,
        lateral: ImageSource | None = None,
        prior_frontal: ImageSource | None = None,
        prior_lateral: ImageSource | None = None,
    ) -> "Study":
        """Make a study of JPEG or PNG files, or of (height, width[, 3]) uint8 arrays, taken as they are.

        Raises StudyError if an image cannot be read or has more than 8 bits a channel.
        """
        given = (frontal, lateral, prior_frontal, prior_lateral)
        return cls(
            {
                slot: Radiograph(_read_image(source), AS_STORED)
                for slot, source in zip(Slot, given, strict=True)
                if source is not None
            }
        )

    @classmethod
    def from_dicom(
        cls,
        source: Source,
        prior: Source | None = None,
        *,
        intensity_profile: str = PUBLISHED,
        any_body_part: bool = False,
        any_view: bool = False,
        window: int | None = None,
        allow_for_processing: bool = False,
    ) -> "Study":
        """Make a study of DICOM files: a file, several, a folder or a zip; `prior` likewise.

        any_body_part: score images that do not say that they show a chest.
        any_view: take the only image of the study as its frontal, whatever its view.
        window, allow_for_processing: see GreyOptions.
        Raises DicomError, ViewError or StudyError; a prior of another patient, or one that is not
        earlier, is refused.
        """
        options = GreyOptions(intensity_profile, window, allow_for_processing)
        current = _read_examination(source, any_body_part)
        radiographs = _fill_slots(current, (Slot.FRONTAL, Slot.LATERAL), options, any_view)
        if prior is not None:
            earlier = _read_examination(prior, any_body_part)
            _check_prior(current[0], earlier[0])
            radiographs |= _fill_slots(earlier, (Slot.PRIOR_FRONTAL, Slot.PRIOR_LATERAL), options, any_view)
        return cls(radiographs)


def load_study(
    path: PathLike,
    *,
    intensity_profile: str = PUBLISHED,
    any_body_part: bool = False,
    any_view: bool = False,
    window: int | None = None,
    allow_for_processing: bool = False,
) -> Study:
    """Make a study of what lies at a path: DICOM (file, folder, zip), or one JPEG or PNG frontal radiograph."""
    try:
        with open(path, "rb") as file:
            mark = file.read(8)
    except OSError:  # a folder, or nothing: from_dicom knows
        mark = b""
    if mark.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n")):
        return Study.from_images(frontal=path)
    return Study.from_dicom(
        path,
        intensity_profile=intensity_profile,
        any_body_part=any_body_part,
        any_view=any_view,
        window=window,
        allow_for_processing=allow_for_processing,
    )


def _read_image(source: ImageSource) -> NDArray[np.uint8]:
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or source.shape[2:] not in ((), (3,)):
            raise StudyError("radiograph array must be uint8 of shape (height, width) or (height, width, 3)")
        return source.copy()
    data = read_files(source)[0]
    if is_dicom(data):
        raise StudyError("radiograph is a DICOM file: use Study.from_dicom, which reads its intensities")
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode.startswith(("I", "F")):
                raise StudyError("image has more than 8 bits a channel: give the DICOM file or an 8-bit image")
            return np.array(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise StudyError("image cannot be read: not a whole JPEG or PNG radiograph") from error


def _read_examination(source: Source, any_body_part: bool) -> list["Dataset"]:
    """Return the headers of the chest radiographs of one examination; all share one StudyInstanceUID."""
    files = read_files(source)
    images: list[Dataset] = []
    refusal: ViewError | None = None
    for number, data in enumerate(files, start=1):
        if len(files) > 1 and not is_dicom(data):
            continue  # notes, thumbnails and DICOMDIR copies lie beside the images
        header = _read_numbered(data, number, len(files))
        if len(files) > 1 and not has_image(header):
            continue  # reports and presentation states
        try:
            if not any_body_part:
                check_chest(header)
        except ViewError as error:
            refusal = refusal or error
        else:
            images.append(header)
    if not images:
        raise refusal or StudyError("no DICOM image in this study: the files are of other kinds")
    if len({str(header.get("StudyInstanceUID")) for header in images}) > 1:
        raise StudyError("more than one study here: give one study, and the earlier one as prior")
    return images


def _read_numbered(data: bytes, number: int, count: int) -> "Dataset":
    try:
        return read_header(data)
    except DicomError as error:
        if count == 1:
            raise
        raise DicomError(f"file {number} of {count}: {error}") from error


def _fill_slots(
    images: Sequence["Dataset"], slots: tuple[Slot, Slot], options: GreyOptions, any_view: bool
) -> dict[Slot, Radiograph]:
    """Put one frontal and one lateral into the two slots; raise ViewError if a choice would be a guess."""
    findings = [read_view(header) for header in images]
    by_view = {view: [i for i, found in enumerate(findings) if found.view is view] for view in View}
    if any_view and not by_view[View.FRONTAL] and len(images) == 1:
        by_view = {View.FRONTAL: [0], View.LATERAL: [], View.UNKNOWN: []}
    if not by_view[View.FRONTAL]:
        counts = ", ".join(f"{len(found)} {view}" for view, found in by_view.items() if found)
        raise ViewError(
            f"no frontal radiograph in this study: found {counts}; "
            "give a single image with any_view=True (--any-view) to score it anyway"
        )
    chosen: dict[Slot, Radiograph] = {}
    for slot, view in zip(slots, (View.FRONTAL, View.LATERAL), strict=True):
        if len(by_view[view]) > 1:
            raise ViewError(f"{len(by_view[view])} {view} radiographs in this study: give the one to score")
        for index in by_view[view]:
            grey, notices = decode_grey(images[index], options), read_notices(images[index])
            chosen[slot] = Radiograph(grey, options.profile, findings[index].source or "caller", notices)
    return chosen


def _check_prior(current: "Dataset", prior: "Dataset") -> None:
    patients = [str(header.get("PatientID") or "").strip() for header in (current, prior)]
    if not patients[0] or patients[0] != patients[1]:
        raise StudyError("prior is not of the same patient: the PatientID elements differ or are empty")
    dates = [str(header.get("StudyDate") or "") for header in (current, prior)]
    times = [str(header.get("StudyTime") or "").ljust(6, "0")[:6] for header in (current, prior)]
    are_stated = all(len(date) == 8 and date.isdigit() for date in dates)
    if not are_stated or (dates[1], times[1]) >= (dates[0], times[0]):
        raise StudyError("prior is not earlier than the current study: compare the StudyDate elements")
