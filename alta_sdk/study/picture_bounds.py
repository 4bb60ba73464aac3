"""Is decoding this JPEG or PNG bounded? Told by its own structure, before Pillow sees a byte.

The threat: a file of kilobytes states a picture of gigabytes; a progressive JPEG goes over it a thousand times; and
both formats may have millions of tiny parts, each parsed on its own. Pillow bounds the first alone, at two gigabytes.
"""

import struct

from ..dicom.codestream import FRAME_MARKERS, JPEG_START, WITHOUT_LENGTH
from ..errors import StudyError

MAX_PIXELS = 1 << 25  # 32 Mi: twice the largest detectors in use
MAX_SCANNED_PIXELS = 1 << 29  # of a JPEG, over all of its scans: 16 of the largest
MAX_PARTS = 1000  # JPEG segments, and PNG chunks beside those of the pixels
MAX_PIXEL_CHUNKS = 1 << 16
MAX_HEAD_BYTES = 1 << 22  # of a JPEG, before its first scan: Pillow joins segments of one kind piece by piece
PNG_MARK = b"\x89PNG\r\n\x1a\n"
END, SCAN = 0xD9, 0xDA


def check_picture(data: bytes) -> None:
    """Raise StudyError for a JPEG or PNG that is larger, or of more parts, than a radiograph; others pass."""
    if data.startswith(PNG_MARK):
        _check_png(data)
    elif data.startswith(JPEG_START):
        _check_jpeg(data)


def _check_png(data: bytes) -> None:
    place, others, of_pixels = len(PNG_MARK), 0, 0
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IHDR" and place + 16 <= len(data):
            _check_size(*struct.unpack_from(">II", data, place + 8))
        of_pixels += kind == b"IDAT"
        others += kind != b"IDAT"
        if others > MAX_PARTS or of_pixels > MAX_PIXEL_CHUNKS:
            raise _of_too_many_parts()
        place += length + 12


def _check_jpeg(data: bytes) -> None:
    """Go through the segments up to the first scan, as Pillow does, one byte of junk being a part."""
    place, parts, pixels = len(JPEG_START), 0, 0
    while place + 4 <= len(data):
        parts += 1
        if parts > MAX_PARTS or place > MAX_HEAD_BYTES:
            raise _of_too_many_parts()
        marker = data[place + 1]
        if data[place] != 0xFF or marker in (0x00, 0xFF):
            place += 1
        elif marker in WITHOUT_LENGTH or marker == END:
            place += 2
        elif marker == SCAN:
            break
        else:
            if marker in FRAME_MARKERS and place + 9 <= len(data):
                height, width = struct.unpack_from(">HH", data, place + 5)
                pixels = max(pixels, _check_size(width, height))
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    if pixels * data.count(bytes([0xFF, SCAN]), place) > MAX_SCANNED_PIXELS:
        raise _of_too_many_parts()


def _check_size(width: int, height: int) -> int:
    if width * height > MAX_PIXELS:
        raise StudyError(f"image is larger than {MAX_PIXELS >> 20} Mi pixels: no radiograph is; refused")
    return width * height


def _of_too_many_parts() -> StudyError:
    return StudyError("image is made of more parts or scans than a radiograph: save it again as a plain JPEG or PNG")
