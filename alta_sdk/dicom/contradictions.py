"""Does a header contradict the pixels that it describes? Decoders pass that over, and give another picture for the one.

Native pixels have the length that Rows, Columns, bits and frames ask for. Beyond it a writer's padding may stand, which
is short and of one value; half an image, two of them, or samples of twice the bits are not. And whatever the coding:
bits that a header cuts off, or a sign that it sees where none is, tear the picture wherever values pass the end of its
range. The same bits read without that are smoother then, which is measured; they are rougher where the bits beside the
stored ones hold something else, as the standard allows.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError
from .pixel_layout import PixelLayout

MAX_PADDING_BYTES = 1 << 13
PADDED = "pixel data is longer than its rows, columns and frames: the rest is of one value and was taken for padding"
MEASURED_ROWS = 128
TORN = 1.05  # how much rougher than another reading of the same bits: specks beyond the range are not a torn picture


def measure_padding(data: bytes, layout: PixelLayout) -> int:
    """Return how many bytes stand behind the frames of native pixels and the byte that makes their number even.

    Raises DicomError if they are no padding. Source: PS3.5 8.1.1, A.4.
    """
    samples = layout.rows * layout.columns * layout.samples
    frame_bits = samples * layout.bits_allocated
    if layout.photometric == "YBR_FULL_422":  # two samples of colour for two pixels
        frame_bits = frame_bits * 2 // 3
    expected = -(-frame_bits * layout.frames // 8)
    expected += expected % 2
    excess = data[expected:]
    if not excess:
        return 0
    if len(excess) > MAX_PADDING_BYTES or excess.count(excess[:1]) < len(excess):
        raise DicomError(
            "pixel data is longer than its Rows, Columns, BitsAllocated and NumberOfFrames elements say: the file is "
            "damaged"
        )
    return len(excess)


def refuse_torn(decoded: NDArray[Any], read: NDArray[Any], layout: PixelLayout) -> None:
    """Raise DicomError if values are torn by what a header says of their bits.

    decoded: (rows, columns[, channels]) as they come from the decoder; read: the same, of the stored bits.
    """
    step = -(-len(read) // MEASURED_ROWS)
    rows, whole = read[::step].astype(np.int32), decoded[::step]
    others = _read_otherwise(rows, whole, layout)
    if others and _measure_roughness(rows) > TORN * min(map(_measure_roughness, others)):
        raise DicomError(
            "pixel data has other bits or another sign than its BitsStored, HighBit and PixelRepresentation elements "
            "say: the file is damaged"
        )


def _read_otherwise(rows: NDArray[Any], whole: NDArray[Any], layout: PixelLayout) -> list[NDArray[np.int32]]:
    """Return other readings of the same bits that differ: without a sign, with the bits above the stored ones."""
    below, spare = layout.high_bit + 1 - layout.bits_stored, 8 * whole.itemsize - layout.bits_stored
    unsigned = whole.view(f"u{whole.itemsize}")
    others = [(bits >> max(0, below)).astype(np.int32) for bits in (whole, unsigned)]
    if spare > below and not (unsigned & ((1 << spare) - 1)).any() and not np.array_equal(others[0], rows):
        others.append((unsigned >> spare).astype(np.int32))  # they stand at the upper end, not where HighBit says
    if rows.size and rows.min() < 0:
        lowest, highest = int(rows.min()), int(rows.max())
        width = max(layout.bits_stored, (~lowest).bit_length() + 1, highest.bit_length() + 1)
        others.append(rows & ((1 << width) - 1))
    return [other for other in others if not np.array_equal(other, rows)]


def _measure_roughness(rows: NDArray[np.int32]) -> float:
    """Return the sum of differences between neighbours in rows."""
    return float(np.abs(np.diff(rows, axis=1)).sum(dtype=np.float64))
