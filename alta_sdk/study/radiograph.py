"""One radiograph: a JPEG, PNG or array taken as it is, or a DICOM image decoded and brought upright."""

import io
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..dicom.files import PathLike, StudyFiles, read_files
from ..dicom.image import DicomImage, decode_grey
from ..dicom.intensity import GreyOptions
from ..dicom.orientation import turn_upright
from ..dicom.views import Confidence, View
from ..errors import StudyError
from .geometry import to_model_pixels
from .slots import SlotChoice

ImageSource = PathLike | StudyFiles | NDArray[np.uint8]
GIVEN = SlotChoice(View.UNKNOWN, "caller", Confidence.NONE)
PLANE_OF = {View.FRONTAL: "coronal", View.LATERAL: "sagittal"}


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One radiograph, read-only.

    grey_u8: (height, width) or (height, width, 3) uint8 on its own pixel grid, bright is dense tissue.
    pixels_u8: (224, 224) uint8, what the model sees.
    intensity_profile: how stored values became grey ("as-stored" for JPEG and PNG).
    choice: why it stands in its slot.
    notices: what a user must be told of how it was read, such as frames that were not.
    """

    grey_u8: NDArray[np.uint8]
    intensity_profile: str
    choice: SlotChoice = GIVEN
    notices: tuple[str, ...] = ()
    pixels_u8: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        """Make the model pixels; raise StudyError if the image cannot be used."""
        object.__setattr__(self, "pixels_u8", to_model_pixels(self.grey_u8))
        for array in (self.grey_u8, self.pixels_u8):
            array.setflags(write=False)

    @property
    def view_source(self) -> str:
        """The DICOM keyword that told the view, or "caller"."""
        return self.choice.source


def decode_radiograph(image: DicomImage, choice: SlotChoice, options: GreyOptions) -> Radiograph:
    """Decode an image, bring it upright and make a radiograph of it, with why it stands in its slot.

    Raises DicomError if it cannot be decoded, StudyError if it is too small, EngineError for an unknown profile.
    """
    grey = decode_grey(image, options)
    plane = image.lie.plane if choice.source == "caller" else PLANE_OF[choice.view]
    upright, turned = turn_upright(grey, image.lie.directions, plane)
    return Radiograph(upright, options.profile, replace(choice, turned=turned), image.notices)


def read_picture(source: ImageSource) -> NDArray[np.uint8]:
    """Read a JPEG or PNG radiograph, or copy an array: (height, width) or (height, width, 3) uint8.

    Raises StudyError if it cannot be read or has more than 8 bits a channel.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or source.shape[2:] not in ((), (3,)):
            raise StudyError("radiograph array must be uint8 of shape (height, width) or (height, width, 3)")
        return source.copy()
    file = read_files(source).files[0]
    if file.is_dicom:
        raise StudyError("radiograph is a DICOM file: use Study.from_dicom, which reads its intensities")
    try:
        with Image.open(io.BytesIO(file.data)) as image:
            if image.mode.startswith(("I", "F")):
                raise StudyError("image has more than 8 bits a channel: give the DICOM file or an 8-bit image")
            return np.array(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise StudyError("image cannot be read: not a whole JPEG or PNG radiograph") from error
