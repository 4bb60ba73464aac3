"""The stored values of one image: what its header says of them, checked, and then decoded.

Everything that decides how much memory decoding takes is bounded before a decoder sees a byte.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError
from .contradictions import measure_padding, refuse_torn
from .decode_time import DecodeTime
from .decoding import decode_compressed
from .pixel_element import MAX_PIXEL_BYTES, is_first_frame_alone
from .pixel_layout import PixelLayout, read_layout
from .stated import Stated

if TYPE_CHECKING:
    from pydicom import Dataset

SLACK_BYTES = 1 << 20  # of what a coding adds of its own
UNDECODABLE = "pixel data cannot be decoded: the file is damaged or truncated"
PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# Decoded values are as wide as the codestream says, which has no word for the high bit.
WITHOUT_HIGH_BIT = ("1.2.840.10008.1.2.4.8", "1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.2")


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """The pixel data of one image as its file holds it.

    syntax: the transfer syntax UID. data: of PixelData, empty if there is none. read_again: gives it, where it was left
    in the file, and digest its SHA-256. time: what decoding it may take with others. is_there: false if no element
    holds pixels, of whatever kind. layout: what describes it, with the standard's defaults. native: what the decoder of
    pixels that are not compressed is told: the elements as they are stated, none of them mended.
    """

    syntax: str = field(repr=False)
    data: bytes = field(repr=False)
    is_there: bool
    layout: Stated[PixelLayout]
    native: Stated[dict[str, Any]]
    read_again: Callable[[], "StoredPixels"] | None = field(default=None, repr=False)
    digest: bytes = field(default=b"", repr=False)
    time: DecodeTime | None = field(default=None, repr=False)

    @property
    def is_native(self) -> bool:
        """True if they are not compressed."""
        from pydicom.uid import UID

        syntax = UID(self.syntax)
        return syntax.is_transfer_syntax and not syntax.is_private and not syntax.is_encapsulated

    def count_padding(self) -> int:
        """Return the bytes behind native frames. Raises DicomError if those are no padding."""
        if not (self.is_native and self.data):
            return 0
        layout, frames = self.layout.get(), self.native.get()["number_of_frames"]
        return measure_padding(self.data, replace(layout, frames=frames))

    def load(self) -> "StoredPixels":
        """Return it with its data. Raises StudyError if they were left in a file that cannot be read again."""
        return self if self.read_again is None else self.read_again()

    def leave(self, read_again: Callable[[], "StoredPixels"]) -> "StoredPixels":
        """Return it without its data, which are read again when they are decoded."""
        return replace(self, data=b"", read_again=read_again, digest=self.read_digest())

    def read_digest(self) -> bytes:
        """Return the SHA-256 of its data."""
        return self.digest or hashlib.sha256(self.data).digest()


def read_pixels(header: "Dataset") -> StoredPixels:
    """Take the pixel data of an image and read what describes it; nothing is decoded."""
    is_one_frame = is_first_frame_alone(header)
    if header.get("NumberOfFrames") == "":  # blanks, which pydicom reads as a number and cannot
        del header.NumberOfFrames
    data = header["PixelData"].value if "PixelData" in header else b""
    return StoredPixels(
        syntax=str(header.file_meta.get("TransferSyntaxUID") or ""),
        data=data if isinstance(data, bytes) else b"",
        is_there=any(keyword in header for keyword in PIXEL_KEYWORDS),
        layout=Stated.read(lambda: read_layout(header)),
        native=Stated.read(lambda: _read_native(header, is_one_frame)),
    )


def decode_first_frame(stored: StoredPixels, *, is_coarse: bool = False) -> NDArray[np.generic]:
    """Decode the stored values of the first frame; bits that are not stored ones are masked.

    is_coarse: a large frame in JPEG 2000 is decoded without its finest details, on the same pixel grid.
    Returns (rows, columns) or (rows, columns, 3), of an 8- or 16-bit integer type, colour as RGB.
    Raises DicomError if they cannot be decoded, their layout is not a radiograph's or contradicts them, or the study's
    time is spent.
    """
    layout, time, stored = stored.layout.get(), stored.time, stored.load()
    if stored.is_native:
        pixels = _decode_native(stored)
    elif stored.data:
        _check_compressed(stored.data, layout)
        options = _decoding_options(layout)
        pixels = decode_compressed(stored.data, stored.syntax, options, time, is_coarse=is_coarse)
    else:
        raise DicomError(
            f"pixel data is empty, or longer than {MAX_PIXEL_BYTES >> 20} MiB: the file is damaged or truncated"
        )
    if pixels.shape[:2] != (layout.rows, layout.columns) or pixels.dtype.kind not in "ui" or pixels.itemsize > 2:
        raise DicomError("pixel data is not what the header says: the file is damaged")
    has_high_bit = not stored.syntax.startswith(WITHOUT_HIGH_BIT)
    read = mask_unused_bits(pixels, layout) if has_high_bit else pixels
    refuse_torn(pixels, read, layout if has_high_bit else replace(layout, high_bit=layout.bits_stored - 1))
    return read


def mask_unused_bits(pixels: NDArray[Any], layout: PixelLayout) -> NDArray[Any]:
    """Keep the stored bits only, moved to the bottom and, if signed, with their sign carried up (PS3.5 8.1.1)."""
    width = 8 * pixels.itemsize
    above = width - 1 - layout.high_bit
    if above < 0:
        raise DicomError("DICOM element HighBit lies outside the decoded pixels: the file is damaged")
    if layout.samples > 1 or layout.bits_stored == width:
        return pixels
    moved: NDArray[Any] = np.left_shift(pixels, above)
    masked: NDArray[Any] = np.right_shift(moved, width - layout.bits_stored)
    return masked


def _check_compressed(data: bytes, layout: PixelLayout) -> None:
    """Refuse far more compressed data than the frames would be without: time to decode goes by both."""
    plain = layout.rows * layout.columns * layout.samples * layout.frames * layout.bits_allocated // 8
    if len(data) > 2 * plain + SLACK_BYTES:
        raise DicomError("pixel data is longer than the pixels that it stands for: the file is damaged")


def _read_native(header: "Dataset", is_one_frame: bool) -> dict[str, Any]:
    from pydicom.pixels.utils import as_pixel_options

    if sum(keyword in header for keyword in PIXEL_KEYWORDS) != 1:
        raise DicomError(UNDECODABLE)
    try:
        options = as_pixel_options(header, pixel_keyword="PixelData", pixel_vr=header["PixelData"].VR)
    except Exception as error:  # pydicom raises more kinds than it documents
        raise DicomError(UNDECODABLE) from error
    frames = {"number_of_frames": 1} if is_one_frame else {}
    return {**options, **frames, "correct_unused_bits": False}  # it takes the highest stored bit to be BitsStored - 1


def _decode_native(stored: StoredPixels) -> NDArray[Any]:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    options = stored.native.get()
    stored.count_padding()
    try:
        pixels: NDArray[Any] = get_decoder(UID(stored.syntax)).as_array(stored.data, index=0, **options)[0]
    except Exception as error:  # pydicom raises more kinds than it documents
        raise DicomError(UNDECODABLE) from error
    return pixels


def _decoding_options(layout: PixelLayout) -> dict[str, Any]:
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "number_of_frames": layout.frames,
        "pixel_representation": int(layout.is_signed),
        "pixel_keyword": "PixelData",
        "correct_unused_bits": False,  # it takes the highest stored bit to be BitsStored - 1
    }
    return {**options, "planar_configuration": layout.planar} if layout.samples > 1 else options
