"""From a radiograph's own pixel grid to the model's: resize, crop, and the scaling the towers expect.

Training, calibration and the SDK all come through here, so that a model never sees at the
workstation what it did not see in training. Pillow, because the published bicubic resize is Pillow's.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import StudyError

RESIZE_PX = 256
CROP_PX = 224
GREY_MEAN = 0.4785
GREY_STD = 0.2834
MIN_SIDE_PX = 32
MAX_ASPECT = 8


def resized_shape(height: int, width: int, zoom: int = 1) -> tuple[int, int]:
    """Return (height, width) after the shorter side became 256 · zoom, the longer one rounded down."""
    side = RESIZE_PX * zoom
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


def crop_offset(height: int, width: int, zoom: int = 1) -> tuple[int, int]:
    """Return (top, left) of the centre crop, 224 · zoom wide, in an image of this size, rounded half to even."""
    return round((height - CROP_PX * zoom) / 2.0), round((width - CROP_PX * zoom) / 2.0)


def to_model_pixels(image_u8: NDArray[np.uint8], zoom: int = 1) -> NDArray[np.uint8]:
    """Resize the shorter side to 256 (bicubic, antialiased) and crop the centre 224 × 224.

    image_u8: (height, width) or (height, width, 3) uint8, bright is dense tissue (MONOCHROME2).
    zoom: 2 gives the same view at twice the resolution, which training reconstructs.
    Returns (224 · zoom, 224 · zoom) uint8; colour is resized first and turned grey after the crop.
    Raises StudyError if a side is under 32 pixels or one side is over 8 times the other.
    Source: published ALTA preprocessing; equal to it to the last bit.
    """
    height, width = image_u8.shape[:2]
    shorter, longer = sorted((height, width))
    if shorter < MIN_SIDE_PX or longer > MAX_ASPECT * shorter:
        raise StudyError(
            f"radiograph of {width} × {height} pixels is not a usable image: each side must be at least "
            f"{MIN_SIDE_PX} pixels and none over {MAX_ASPECT} times the other"
        )
    new_height, new_width = resized_shape(height, width, zoom)
    top, left = crop_offset(new_height, new_width, zoom)
    resized = Image.fromarray(image_u8).resize((new_width, new_height), Image.Resampling.BICUBIC)
    cropped = resized.crop((left, top, left + CROP_PX * zoom, top + CROP_PX * zoom))
    return np.asarray(cropped.convert("L"))


def map_to_radiograph(patches: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Give each pixel of a radiograph the value of the patch that its centre lies in: the way back.

    patches: (side, side), square patches of the model's 224 × 224 pixels, row by row.
    Returns (height, width) on the radiograph's own grid, NaN where the model did not see: outside the crop.
    Not interpolated: the model has one value for a patch, and a smooth map would show more than it knows.
    """
    rows, columns = (
        _patch_of_pixels(length, resized, offset, len(patches)) for length, resized, offset in _axes(height, width)
    )
    mapped = np.full((height, width), np.nan, dtype=np.float32)
    seen_rows, seen_columns = rows >= 0, columns >= 0
    mapped[np.ix_(seen_rows, seen_columns)] = patches[np.ix_(rows[seen_rows], columns[seen_columns])]
    return mapped


def locate_patch(row: int, column: int, side: int, height: int, width: int) -> tuple[int, int]:
    """Return the pixel (row, column) of a radiograph that the centre of a patch of a side × side grid lies in."""
    patch_px = CROP_PX / side
    y, x = (
        int((offset + (index + 0.5) * patch_px) * length / resized)
        for index, (length, resized, offset) in zip((row, column), _axes(height, width), strict=True)
    )
    return y, x


def _axes(height: int, width: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return, for rows and for columns, the length, the length after the resize, and where the crop begins in it."""
    resized = resized_shape(height, width)
    top, left = crop_offset(*resized)
    return (height, resized[0], top), (width, resized[1], left)


def _patch_of_pixels(length: int, resized: int, offset: int, side: int) -> NDArray[np.int64]:
    """Return the index of the patch that each pixel's centre lies in, -1 outside the crop."""
    centres = (np.arange(length) + 0.5) * resized / length - offset
    index = np.floor(centres * side / CROP_PX).astype(np.int64)
    return np.where((centres >= 0) & (centres < CROP_PX), index, -1)
