"""One radiograph: a JPEG, PNG or array taken as it is shown, or a DICOM image decoded and brought upright.

It belongs to no engine: it keeps the grey picture, and makes of it what an engine's geometry asks for.
"""

import hashlib
import os
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dicom.decoder_names import name_decoder
from ..dicom.files import PathLike, StudyFiles, read_files
from ..dicom.image import DicomImage, ImageOrigin, decode_grey
from ..dicom.intensity import AS_STORED, PUBLISHED, GreyOptions, name_picture_profile, scale_intensity
from ..dicom.orientation import turn_upright
from ..dicom.view_words import View
from ..dicom.views import Confidence
from ..errors import DicomError, StudyError
from .geometry import ALTA_GEOMETRY, Geometry
from .picture import Picture, decode_picture
from .plausibility import Judgement, judge_picture
from .slots import SlotChoice

ImageSource = PathLike | StudyFiles | NDArray[np.uint8]
GIVEN_ARRAY = "none: pixels were given as an array"
GIVEN = SlotChoice(View.UNKNOWN, "caller", Confidence.NONE)
ONE_A_SLOT = (
    "one image a slot: give the path of one JPEG or PNG file, or a uint8 array of shape (height, width[, 3]); "
    "no list, folder, archive or other object"
)
PLANE_OF = {View.FRONTAL: "coronal", View.LATERAL: "sagittal"}


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One radiograph, read-only.

    grey_u8: (height, width) or (height, width, 3) uint8 on its own pixel grid, bright is dense tissue.
    pixels_u8: (224, 224) uint8, what ALTA's model sees, and what plausibility is judged by; `pixels_for` gives those
    of an engine.
    intensity_profile: how stored values became grey ("as-stored" for JPEG and PNG, but for minmax-v1).
    choice: why it stands in its slot.
    notices: what a user must be told of how it was read, such as frames that were not.
    origin: the DICOM file that its pixels came from, none for a JPEG, PNG or array: patient data, never shown.
    judgement: whether its pixels can be those of an upright radiograph.
    shown_u8: an 8-bit picture as it was before its profile stretched it, which is what is judged then.
    decoder: what the file was coded in, and the library that decoded it, with its version.
    """

    grey_u8: NDArray[np.uint8]
    intensity_profile: str
    choice: SlotChoice = GIVEN
    notices: tuple[str, ...] = ()
    origin: ImageOrigin | None = field(default=None, repr=False)
    pixels_u8: NDArray[np.uint8] = field(init=False)
    judgement: Judgement = field(init=False)
    shown_u8: InitVar[NDArray[np.uint8] | None] = None
    decoder: str = GIVEN_ARRAY
    _made: dict[Geometry, NDArray[np.uint8]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self, shown_u8: NDArray[np.uint8] | None) -> None:
        """Make ALTA's pixels; raise StudyError if the image cannot be used."""
        object.__setattr__(self, "pixels_u8", ALTA_GEOMETRY.to_pixels(self.grey_u8))
        judged = self.grey_u8, self.pixels_u8
        if shown_u8 is not None:
            judged = shown_u8, ALTA_GEOMETRY.to_pixels(shown_u8)
        object.__setattr__(self, "judgement", judge_picture(*judged, self.choice.view))
        self._lock()

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled or copied: not what can be made again."""
        return {name: value for name, value in vars(self).items() if name != "pixels_sha256"} | {"_made": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled or copied, read-only as before."""
        vars(self).update(state)
        self._lock()

    def __eq__(self, other: object) -> bool:
        """True for the same pixels, read and chosen in the same way."""
        if not isinstance(other, Radiograph):
            return False
        own, theirs = ({**one.__getstate__(), "grey_u8": None, "pixels_u8": None} for one in (self, other))
        return own == theirs and np.array_equal(self.grey_u8, other.grey_u8)

    def __hash__(self) -> int:
        """Equal radiographs have equal hashes."""
        return hash((self.grey_u8.shape, self.pixels_u8.tobytes(), self.intensity_profile))

    def _lock(self) -> None:
        for array in (self.grey_u8, self.pixels_u8):
            array.setflags(write=False)

    def pixels_for(self, geometry: Geometry) -> NDArray[np.uint8]:
        """Return what a model of this geometry sees: (crop_px, crop_px) uint8, read-only, made once."""
        if geometry == ALTA_GEOMETRY:
            return self.pixels_u8
        if geometry not in self._made:
            pixels = geometry.to_pixels(self.grey_u8)
            pixels.setflags(write=False)
            self._made[geometry] = pixels
        return self._made[geometry]

    @cached_property
    def pixels_sha256(self) -> str:
        """The SHA-256 of `grey_u8` in hexadecimal: of its bytes, row by row from the top left, channels side by side.

        So of the picture upright and after the intensity profile, of which everything that an engine sees is made.
        """
        return hashlib.sha256(np.ascontiguousarray(self.grey_u8).data).hexdigest()

    def is_same_picture(self, other: "Radiograph") -> bool:
        """True if both have the same grey levels on one pixel grid."""
        small = np.array_equal(self.pixels_u8, other.pixels_u8)  # looked at first: it is small
        return small and np.array_equal(self.grey_u8, other.grey_u8)

    def has_same_uid(self, other: "Radiograph") -> bool:
        """True if both are of files that state one SOPInstanceUID."""
        return (
            self.origin is not None
            and other.origin is not None
            and bool(self.origin.instance_uid)
            and self.origin.instance_uid == other.origin.instance_uid
        )

    @property
    def view_source(self) -> str:
        """The DICOM keyword that told the view, or "caller"."""
        return self.choice.source

    def take(self, *, any_picture: bool) -> "Radiograph":
        """Return itself; raise StudyError if its pixels cannot be a radiograph's, unless any picture is wanted."""
        if self.judgement.refusal and not any_picture:
            raise StudyError(f"{self.judgement.refusal}: no radiograph; {_WAY_OUT}")
        return self


_WAY_OUT = "pass any_picture=True (--any-picture) to score it anyway"


def decode_radiograph(image: DicomImage, choice: SlotChoice, options: GreyOptions) -> Radiograph:
    """Decode an image, bring it upright and make a radiograph of it, with why it stands in its slot.

    Raises DicomError if it cannot be decoded, StudyError if it is too small, EngineError for an unknown profile.
    """
    grey = decode_grey(image, options)
    plane = image.lie.plane if choice.source == "caller" else PLANE_OF[choice.view]
    upright, turned = turn_upright(grey, image.lie.directions, plane)
    return Radiograph(
        upright,
        options.profile,
        replace(choice, turned=turned),
        image.notices,
        ImageOrigin.of(image),
        decoder=name_decoder(image.stored.syntax, image.stored.layout.get().bits_stored),
    )


def read_picture(source: ImageSource, view: View, profile: str = PUBLISHED) -> Radiograph:
    """Make a radiograph of a JPEG or PNG file, or of a copy of an array, taken as it is shown.

    view: what the caller says it is. profile: says whether grey levels are taken as they are or stretched.
    Raises StudyError if it is not one image, or cannot be read or used, EngineError for an unknown profile.
    """
    name = name_picture_profile(profile)
    picture = _take_array(source) if isinstance(source, np.ndarray) else decode_picture(_read_image_file(source))
    choice = replace(GIVEN, view=view, turned=picture.turned)
    if name == AS_STORED:
        return Radiograph(picture.grey_u8, name, choice, picture.notices, decoder=picture.decoder)
    try:
        grey = scale_intensity(picture.grey_u8, is_monochrome1=False, profile=name)
    except DicomError as error:  # one grey level, which cannot be stretched
        raise StudyError(str(error)) from error
    return Radiograph(grey, name, choice, picture.notices, shown_u8=picture.grey_u8, decoder=picture.decoder)


def _take_array(array: NDArray[np.uint8]) -> Picture:
    if isinstance(array, np.ma.MaskedArray | np.matrix):
        raise StudyError("radiograph array must be a plain one: no matrix, and none with masked pixels")
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        raise StudyError("radiograph array must be uint8 of shape (height, width) or (height, width, 3)")
    return Picture(array.copy(), decoder=GIVEN_ARRAY)


def _read_image_file(source: PathLike | StudyFiles) -> bytes:
    """Return the bytes of the one file that is given; raise StudyError for several, a folder, or other things."""
    if not isinstance(source, StudyFiles):
        if not isinstance(source, str | os.PathLike) or os.path.isdir(source):
            raise StudyError(ONE_A_SLOT)
        source = read_files(source)
    if not source.is_one_file:
        raise StudyError(ONE_A_SLOT)
    if source.files[0].is_dicom:
        raise StudyError("radiograph is a DICOM file: use Study.from_dicom, which reads its intensities")
    return source.files[0].data
