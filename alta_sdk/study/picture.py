"""JPEG and PNG files: opened as these two alone, never cut to 8 bits, and turned as their EXIF orientation says.

Pillow knows some forty formats more, one of which starts another program; it takes the high byte alone of a PNG
of 16 bits in colour; and it leaves a picture as it was stored, whatever the camera noted of how it lies.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from ..dicom.decoder_names import name_version
from ..dicom.orientation import Turn, apply_turn
from ..dicom.whole_jpeg import decode_whole
from ..errors import StudyError
from .picture_bounds import check_picture

FORMATS = ("JPEG", "PNG")
APP1_PROFILE = "Raw profile type APP1"  # where ImageMagick keeps a JPEG's EXIF or XMP in a PNG; Pillow does not look
NOT_WHOLE = "image cannot be read: not a whole JPEG or PNG radiograph"
# By orientation of EXIF (CIPA DC-008, 4.6.4): rows and columns exchanged, then mirrored left to right, top to bottom.
TURN_OF: dict[int, Turn] = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}

warnings.filterwarnings("ignore", module=r"PIL(\.|$)")  # of what it makes of a damaged file: we say so ourselves


@dataclass(frozen=True, eq=False)
class Picture:
    """grey_u8: (height, width) or (height, width, 3) uint8, as viewers show it. turned: what brought it upright.

    notices: what a user must be told of how it was read. decoder: the library that decoded it, with its version.
    """

    grey_u8: NDArray[np.uint8]
    turned: str = ""
    notices: tuple[str, ...] = ()
    decoder: str = ""


def decode_picture(data: bytes) -> Picture:
    """Decode a JPEG or PNG file and turn it as its EXIF orientation says.

    Raises StudyError if it is neither, is not whole, has more than 8 bits a channel, transparent parts, or an
    orientation that EXIF does not define, or is larger or of more parts than a radiograph.
    """
    check_picture(data)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _refuse_deep(image)
            _refuse_transparent(image)
            count = getattr(image, "n_frames", 1)
            pixels, decoder = _decode(image, data)
            turn = _read_turn(image)
    except StudyError:
        raise
    except Exception as error:  # Pillow raises more kinds than it documents
        raise StudyError(NOT_WHOLE) from error
    upright, turned = apply_turn(pixels, turn)
    notices = (f"image file holds {count} pictures: the first was read",) if count > 1 else ()
    return Picture(upright, turned, notices, decoder)


def _decode(image: Image.Image, data: bytes) -> tuple[NDArray[np.uint8], str]:
    """Return the pixels, grey or colour, and what decoded them; ValueError for a JPEG that is not whole."""
    grey = decode_whole(data) if image.format == "JPEG" else None
    if grey is not None and image.mode == "L":
        return np.ascontiguousarray(grey), f"JPEG: {name_version('simplejpeg')}"
    pixels = np.array(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    return pixels, f"{image.format}: {name_version('pillow')}"


def _refuse_deep(image: Image.Image) -> None:
    """Refuse more than 8 bits a channel: in colour Pillow's mode does not tell it, its decoder's arguments do."""
    tiles = getattr(image, "tile", None) or []
    if image.mode.startswith(("I", "F")) or any("16" in str(tile[3]) for tile in tiles):
        raise StudyError("image has more than 8 bits a channel: give the DICOM file or an 8-bit image")


def _refuse_transparent(image: Image.Image) -> None:
    """Refuse what a viewer shows otherwise than its grey levels are: pixels that let the ground show through."""
    if image.has_transparency_data:
        mode = "LA" if image.mode in ("1", "L", "LA") else "RGBA"  # for a picture of few bits or a palette, too
        with image.convert(mode) as whole, whole.getchannel("A") as alpha:
            if alpha.getextrema()[0] != 255:
                raise StudyError("image has transparent parts: export it without an alpha channel")


def _read_turn(image: Image.Image) -> Turn:
    """Return how the picture lies; StudyError for an orientation that is not defined, or cannot be read."""
    if profile := image.info.get(APP1_PROFILE):
        try:
            data = bytes.fromhex("".join(str(profile).split("\n")[3:]))  # behind its name and length
        except ValueError as error:
            raise StudyError("image has an EXIF profile that cannot be read: export it upright") from error
        image.info.setdefault("exif" if data.startswith(b"Exif") else "xmp", data)
    orientation = image.getexif().get(ExifTags.Base.Orientation) or 1  # some cameras write 0 for not known
    if orientation not in TURN_OF:
        raise StudyError("image has an EXIF orientation that is not defined: export it upright")
    return TURN_OF[orientation]
