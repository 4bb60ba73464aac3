"""From a radiograph's own pixel grid to a model's square of grey pixels, and from its patches back.

Training, calibration and the SDK all come through here, so that a model never sees at the
workstation what it did not see in training. Pillow, because the published resizes are Pillow's. Which geometry a
model reads is a fact of its family, which the engine's manifest states.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import StudyError

SHORTER_SIDE, PAD_SQUARE = "shorter-side", "pad-square"
RULES = (SHORTER_SIDE, PAD_SQUARE)
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
MIN_SIDE_PX = 32
MAX_ASPECT = 8


@dataclass(frozen=True)
class Geometry:
    """How a radiograph is brought to the square that a model reads.

    rule: "shorter-side" becomes resize_px and the centre is cropped; or "pad-square": the longer side does, and the
    rest is a black border. crop_px: side of the square. filter: a key of FILTERS; all of them antialias.
    grey_first: colour is turned grey before the resize, else after the crop.
    """

    rule: str
    resize_px: int
    crop_px: int
    filter: str
    grey_first: bool

    def __post_init__(self) -> None:
        """Refuse what is not defined: another rule or filter, a square that the rule does not fill (ValueError)."""
        if self.rule not in RULES or self.filter not in FILTERS:
            raise ValueError(f"geometry has another rule than {', '.join(RULES)} or filter than {', '.join(FILTERS)}")
        if not 0 < self.crop_px <= self.resize_px or (self.rule == PAD_SQUARE and self.crop_px != self.resize_px):
            raise ValueError(f"geometry of rule {self.rule} gives no square of crop_px out of resize_px")

    def resized_shape(self, height: int, width: int, zoom: int = 1) -> tuple[int, int]:
        """Return (height, width) after the side that the rule names became resize_px · zoom, the other rounded down."""
        side = self.resize_px * zoom
        if self.rule == PAD_SQUARE:
            ratio = side / max(height, width)  # rounded before it is used, as published: of 77 pixels come 319, not 320
            return int(height * ratio), int(width * ratio)
        if height <= width:
            return side, int(side * width / height)
        return int(side * height / width), side

    def crop_offset(self, height: int, width: int, zoom: int = 1) -> tuple[int, int]:
        """Return (top, left) of the square, crop_px · zoom wide, in an image of this size.

        Of a crop rounded half to even; negative where a border is added, whose odd pixel lies below or right.
        """
        side = self.crop_px * zoom
        if self.rule == PAD_SQUARE:
            return -((side - height) // 2), -((side - width) // 2)
        return round((height - side) / 2.0), round((width - side) / 2.0)

    def to_pixels(self, image_u8: NDArray[np.uint8], zoom: int = 1) -> NDArray[np.uint8]:
        """Resize an image, and crop the square or add the border.

        image_u8: (height, width) or (height, width, 3) uint8, bright is dense tissue (MONOCHROME2).
        zoom: 2 gives the same view at twice the resolution, which training reconstructs.
        Returns (crop_px · zoom, crop_px · zoom) uint8.
        Raises StudyError if a side is under 32 pixels or one side is over 8 times the other.
        Source: the families' published preprocessing; equal to it to the last bit.
        """
        height, width = image_u8.shape[:2]
        shorter, longer = sorted((height, width))
        if shorter < MIN_SIDE_PX or longer > MAX_ASPECT * shorter:
            raise StudyError(
                f"radiograph of {width} × {height} pixels is not a usable image: each side must be at least "
                f"{MIN_SIDE_PX} pixels and none over {MAX_ASPECT} times the other"
            )
        new_height, new_width = self.resized_shape(height, width, zoom)
        top, left = self.crop_offset(new_height, new_width, zoom)
        image = Image.fromarray(image_u8)
        if self.grey_first:
            image = image.convert("L")
        resized = image.resize((new_width, new_height), FILTERS[self.filter])
        side = self.crop_px * zoom
        cropped = resized.crop((left, top, left + side, top + side))  # black where it reaches beyond the image
        return np.asarray(cropped.convert("L"))

    def map_to_radiograph(self, patches: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """Give each pixel of a radiograph the value of the patch that its centre lies in: the way back.

        patches: (side, side), square patches of the model's pixels, row by row.
        Returns (height, width) on the radiograph's own grid, NaN where the model did not see: outside the crop. What
        lies in an added border is on no pixel.
        Not interpolated: the model has one value for a patch, and a smooth map would show more than it knows.
        """
        rows, columns = (
            self._patch_of_pixels(length, resized, offset, len(patches))
            for length, resized, offset in self._axes(height, width)
        )
        mapped = np.full((height, width), np.nan, dtype=np.float32)
        seen_rows, seen_columns = rows >= 0, columns >= 0
        mapped[np.ix_(seen_rows, seen_columns)] = patches[np.ix_(rows[seen_rows], columns[seen_columns])]
        return mapped

    def locate_patch(self, row: int, column: int, side: int, height: int, width: int) -> tuple[int, int] | None:
        """Return the pixel (row, column) of a radiograph that the centre of a patch of a side × side grid lies in.

        The nearest pixel for a patch that reaches over the edge; None for one that lies wholly in an added border.
        """
        is_seen = self.find_seen_patches(side, height, width)[row, column]
        return self._nearest_pixel(row, column, side, height, width) if is_seen else None

    def locate_peak(self, patches: NDArray[np.floating[Any]], height: int, width: int) -> tuple[int, int]:
        """Return the pixel of the largest patch (side, side) of those that show something of the radiograph."""
        side = len(patches)
        seen = np.where(self.find_seen_patches(side, height, width), patches, -np.inf)
        row, column = divmod(int(seen.argmax()), side)
        return self._nearest_pixel(row, column, side, height, width)

    def find_seen_patches(self, side: int, height: int, width: int) -> NDArray[np.bool_]:
        """Return which patches of a side × side grid show something of the radiograph: all but those of a border."""
        starts = np.arange(side) * (self.crop_px / side)
        rows, columns = (
            (starts + self.crop_px / side > -offset) & (starts < resized - offset)
            for _, resized, offset in self._axes(height, width)
        )
        return np.logical_and.outer(rows, columns)

    def _nearest_pixel(self, row: int, column: int, side: int, height: int, width: int) -> tuple[int, int]:
        patch_px = self.crop_px / side
        y, x = (
            min(max(int((offset + (index + 0.5) * patch_px) * length / resized), 0), length - 1)
            for index, (length, resized, offset) in zip((row, column), self._axes(height, width), strict=True)
        )
        return y, x

    def _axes(self, height: int, width: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Return, for rows and columns, the length, the length after the resize, and where the square begins in it."""
        resized = self.resized_shape(height, width)
        top, left = self.crop_offset(*resized)
        return (height, resized[0], top), (width, resized[1], left)

    def _patch_of_pixels(self, length: int, resized: int, offset: int, side: int) -> NDArray[np.int64]:
        """Return the index of the patch that each pixel's centre lies in, -1 outside the crop."""
        centres = (np.arange(length) + 0.5) * resized / length - offset
        index = np.floor(centres * side / self.crop_px).astype(np.int64)
        return np.where((centres >= 0) & (centres < self.crop_px), index, -1)


ALTA_GEOMETRY = Geometry(SHORTER_SIDE, resize_px=256, crop_px=224, filter="bicubic", grey_first=False)
