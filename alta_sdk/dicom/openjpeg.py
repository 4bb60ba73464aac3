"""JPEG 2000 by the OpenJPEG that Pillow holds: with threads, or without the finest details; pylibjpeg's does neither.

Both are OpenJPEG, so the values are the same to the last bit, which a test holds; what this refuses, the other one
decides. Without the finest details (the three subbands of the last wavelet level, which are most of the work) the
picture is the lower half of its frequencies, on the same pixel grid: what decoding it with these subbands at zero
gives, near rounding. Used in the decoding process, which imports nothing of this package.
"""

import io
import os
import struct
from typing import Any, NamedTuple

SYNTAXES = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
START, CODING, TILE_PART, DATA, END = b"\xff\x4f\xff\x51", 0xFF52, 0xFF90, 0xFF93, b"\xff\xd9"
REVERSIBLE = 1  # the 5/3 wavelet; 0 is the 9/7 one
MIN_HALF_PX = 880  # of the shorter side at half resolution, for a model that reads 256: smaller ones move sharp edges
# What the inverse wavelet makes of low-pass samples alone: at the place of sample n, and between n and n + 1.
EVEN_97, BESIDE_EVEN_97 = 1.115087052456994, -0.057543526228500
ODD_97, BESIDE_ODD_97 = 0.591271763114247, -0.091271763114250


class Coding(NamedTuple):
    """How a bare codestream of one tile is coded. levels: of the wavelet."""

    levels: int
    is_reversible: bool


def decode_grey(frame: bytes, stated: Any, threads: int, *, is_coarse: bool) -> Any:
    """Return the samples (height, width) of an unsigned grey frame, uint8 or uint16, or None if it is not for here.

    stated: what its header states. is_coarse: leave out the finest details, where the frame is large enough.
    Raises what Pillow raises for a frame that it cannot decode; ValueError for one that is cut short.
    """
    coding = read_coding(frame)
    if coding is None or stated.channels != 1 or stated.is_signed or not 1 <= stated.precision <= 16:
        return None
    is_coarse = is_coarse and coding.levels > 0 and min(stated.height, stated.width) >= 2 * MIN_HALF_PX
    if threads < 2 and not is_coarse:
        return None
    if not is_coarse:
        return _decode(frame, stated.precision, threads, reduce=0)
    if not is_complete(frame):  # what is missing may be what is left out
        raise ValueError("codestream is cut short")
    low = _decode(frame, stated.precision, threads, reduce=1)
    if coding.is_reversible:
        return _fill_reversible(_fill_reversible(low, stated.height, 0), stated.width, 1)
    filled = _fill_irreversible(_fill_irreversible(low.astype("f4"), stated.height, 0), stated.width, 1)
    return filled.clip(0, (1 << stated.precision) - 1, out=filled).round(out=filled).astype(low.dtype)


def _decode(frame: bytes, precision: int, threads: int, *, reduce: int) -> Any:
    import numpy as np
    from PIL import Image

    os.environ["OPJ_NUM_THREADS"] = str(threads)  # which OpenJPEG reads for each frame
    with Image.open(io.BytesIO(frame), formats=("JPEG2000",)) as image:
        image.reduce = reduce  # type: ignore[method-assign,assignment]  # an attribute of this format
        samples = np.asarray(image)
    # Pillow moves samples to the upper end of 8 or 16 bits.
    return samples >> (8 * samples.itemsize - precision)


def _fill_reversible(low: Any, length: int, axis: int) -> Any:
    """Put samples between samples: the mean of both neighbours, rounded down, as the 5/3 wavelet does."""
    import numpy as np

    here, after = (_shift(low, count, axis, length // 2) for count in (0, 1))
    between = (here.astype(np.uint32) + after) >> 1
    return _interleave(low, between, length, axis)


def _fill_irreversible(low: Any, length: int, axis: int) -> Any:
    """Put samples between samples, and sharpen those that are there, as the 9/7 wavelet does."""
    evens, odds = -(-length // 2), length // 2
    at = EVEN_97 * low + BESIDE_EVEN_97 * (_shift(low, -1, axis, evens) + _shift(low, 1, axis, evens))
    between = ODD_97 * (_shift(low, 0, axis, odds) + _shift(low, 1, axis, odds))
    between += BESIDE_ODD_97 * (_shift(low, -1, axis, odds) + _shift(low, 2, axis, odds))
    return _interleave(at, between, length, axis)


def _shift(low: Any, by: int, axis: int, count: int) -> Any:
    """Return so many samples from place `by` on; beyond an end stands its last sample."""
    import numpy as np

    first, last = max(0, by), min(low.shape[axis], by + count)
    whole = low[first:last] if axis == 0 else low[:, first:last]
    missing = [(0, 0), (0, 0)]
    missing[axis] = (first - by, by + count - last)
    return np.pad(whole, missing, mode="edge") if any(missing[axis]) else whole


def _interleave(even: Any, odd: Any, length: int, axis: int) -> Any:
    import numpy as np

    shape = list(even.shape)
    shape[axis] = length
    filled = np.empty(shape, dtype=even.dtype)
    filled.swapaxes(0, axis)[::2] = even.swapaxes(0, axis)
    filled.swapaxes(0, axis)[1::2] = odd.swapaxes(0, axis)
    return filled


def read_coding(codestream: bytes) -> Coding | None:
    """Return how a codestream is coded; None if it is no bare one, or has more tiles than one or an offset.

    Source: ISO 15444-1 A.5.1 and A.6.1.
    """
    try:
        if not codestream.startswith(START):
            return None
        (length,) = struct.unpack_from(">H", codestream, 4)
        right, bottom, *offset, width, height, left, top = struct.unpack_from(">IIIIIIII", codestream, 8)
        if left or top or any(offset) or width < right or height < bottom:
            return None
        place = 4 + length
        while True:
            marker, length = struct.unpack_from(">HH", codestream, place)
            if marker == CODING:
                levels, _, _, _, kind = struct.unpack_from(">BBBBB", codestream, place + 9)
                return Coding(levels, kind == REVERSIBLE)
            if marker == TILE_PART:
                return None
            place += 2 + length
    except struct.error:  # it ends too early
        return None


def is_complete(codestream: bytes) -> bool:
    """True if every tile-part of a bare codestream has the length that it states, and its end follows.

    Source: ISO 15444-1 A.4.2.
    """
    try:
        place = 4 + struct.unpack_from(">H", codestream, 4)[0]
        while codestream[place : place + 2] != TILE_PART.to_bytes(2):
            place += 2 + struct.unpack_from(">H", codestream, place + 2)[0]
        while codestream[place : place + 2] == TILE_PART.to_bytes(2):
            (length,) = struct.unpack_from(">I", codestream, place + 6)
            if length == 0:  # to the end
                return codestream.rstrip(b"\0").endswith(END)
            if length < 14:
                return False
            place += length
    except struct.error:
        return False
    return codestream[place : place + 2] == END
