"""Heat in colour on a radiograph, and the strip below it that says what the colours mean.

The strip lies below the image, so that it hides no anatomy and leaves the pixels where they are.
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from ..errors import AltaError

Limits = tuple[float, float]
Rgb = NDArray[np.uint8]

DISCLAIMER = "Not for clinical use"
OPACITY = 0.5  # of the highest value: what lies under it is still seen
UNSEEN = 0.4  # brightness of what the model did not see
# From dark violet over red to yellow: lightness rises evenly, so it reads in grey and by colour-blind eyes.
ANCHORS = np.array([(22, 11, 57), (87, 16, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39)])
STEPS = 256
GROUNDS = (64, 192)  # grey levels under the scale: of dark and of bright tissue
MIN_STRIP_PX = 12
SMALLEST_TYPE_PX = 4
PNG_SUFFIX = ".png"
OTHER_PICTURES = frozenset(".jpg .jpeg .jpe .jfif .jp2 .gif .bmp .tif .tiff .webp .avif .heic .svg .pdf .dcm".split())


def blend(grey_u8: NDArray[np.uint8], values: NDArray[np.float32], limits: Limits, opacity: float) -> Rgb:
    """Lay colours over a radiograph (height, width[, 3]), the denser the higher the value: (height, width, 3).

    values: (height, width), NaN is not coloured but darkened. Raises AltaError for limits or an opacity that
    cannot be drawn.
    """
    low, high = limits
    if not (np.isfinite([low, high]).all() and low <= high and 0 <= opacity <= 1):
        raise AltaError("limits must be two numbers, the lower first, and opacity between 0 and 1")
    seen = np.isfinite(values)
    heat = np.clip((np.where(seen, values, low) - low) / max(high - low, 1e-9), 0, 1)  # (height, width), 0..1
    colours = make_colours()[np.rint(heat * (STEPS - 1)).astype(np.intp)]
    rgb = grey_u8 if grey_u8.ndim == 3 else grey_u8[:, :, None]
    under = rgb * np.where(seen, np.float32(1), np.float32(UNSEEN))[:, :, None]
    mixed = under + (colours - under) * (opacity * heat * seen)[:, :, None].astype(np.float32)
    return np.rint(mixed).astype(np.uint8)


def make_colours() -> Rgb:
    """Return the 256 colours from low to high: (256, 3) uint8."""
    places = np.linspace(0, len(ANCHORS) - 1, STEPS)
    channels = [np.interp(places, np.arange(len(ANCHORS)), ANCHORS[:, channel]) for channel in range(3)]
    colours: Rgb = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    return colours


def make_scale(opacity: float = OPACITY) -> Rgb:
    """Return the scale of an overlay's colours, from its lowest value to its highest: (2, 256, 3) uint8.

    It is blended as the overlay is, over dark tissue above and bright tissue below: what is densest is seen as it
    appears, and the lowest value as what it is, no colour at all.
    """
    ground = np.repeat(np.array(GROUNDS, dtype=np.uint8)[:, None], STEPS, axis=1)
    values = np.broadcast_to(np.linspace(0, 1, STEPS, dtype=np.float32), ground.shape)
    return blend(ground, values, (0, 1), opacity)


def add_legend(picture: Rgb, limits: Limits, caption: str = "") -> Rgb:
    """Add a strip below a picture (height, width, 3): the scale of the colours, the disclaimer, the caption.

    Returns (height + strip, width, 3); the picture's own pixels stay where they are.
    """
    width = picture.shape[1]
    line = max(MIN_STRIP_PX, round(width / 24))
    texts = [text for text in (caption, DISCLAIMER) if text]
    strip = Image.new("RGB", (width, line * (len(texts) + 1)))
    draw = ImageDraw.Draw(strip)
    for number, text in enumerate(texts):
        _write_line(draw, text, (0, number * line), (width, line))
    _draw_scale(strip, draw, limits, len(texts) * line, line)
    return np.concatenate([picture, np.asarray(strip)])


def check_picture_name(path: Path) -> None:
    """Raise AltaError for a name that says that a picture is of another format than the PNG that is written."""
    if path.suffix.lower() in OTHER_PICTURES:
        raise AltaError(f"heat map is a PNG, and its name ends in that of another format: end it in {PNG_SUFFIX}")


def is_png(head: bytes) -> bool:
    """Tell by its first bytes whether a file is such a PNG."""
    return head.startswith(b"\x89PNG") and b"tEXtComment\0" + DISCLAIMER.encode() in head


def encode_png(picture: Rgb) -> bytes:
    """Return a PNG (height, width, 3) that says in a text chunk, too, that it is not for clinical use."""
    buffer = io.BytesIO()
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", DISCLAIMER)
    Image.fromarray(picture).save(buffer, format="PNG", pnginfo=notes)
    return buffer.getvalue()


def _draw_scale(strip: Image.Image, draw: ImageDraw.ImageDraw, limits: Limits, top: int, line: int) -> None:
    """Draw "low [colours] high" over the width of the strip."""
    third = strip.width // 3
    low, high = (f"{value:+.2f}" for value in limits)
    _write_line(draw, low, (0, top), (third, line))
    bar = Image.fromarray(make_scale()).resize((max(third, 1), max(line // 2, 1)))
    strip.paste(bar, (third, top + line // 4))
    _write_line(draw, high, (2 * third, top), (third, line))


def _write_line(draw: ImageDraw.ImageDraw, text: str, corner: tuple[int, int], box: tuple[int, int]) -> None:
    """Write one line in the middle of a box, as large as fits."""
    size = max(SMALLEST_TYPE_PX, round(0.7 * box[1]))
    length = draw.textlength(text, font=ImageFont.load_default(size))
    if length > 0.95 * box[0]:
        size = max(SMALLEST_TYPE_PX, int(size * 0.95 * box[0] / length))
    middle = (corner[0] + box[0] / 2, corner[1] + box[1] / 2)
    draw.text(middle, text, fill=(255, 255, 255), font=ImageFont.load_default(size), anchor="mm")
