"""What a compressed frame itself says of its size: decoders go by that, and a header that says otherwise lies.

Only the product of the two sizes has to fit for a decoder's output to be laid out by the header: 160 lines of 100
would be read as 100 of 160, each line wrapped at the wrong place. Used in the decoding process, which imports
nothing of this package: this module imports nothing but the standard library.
"""

import struct

JPEG_START, J2K_START, JP2_START = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"
# Frame headers of every JPEG process (ISO 10918-1, table B.1), and of JPEG-LS (ISO 14495-1).
FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
SCAN_MARKERS = frozenset({0xD9, 0xDA})


def read_size(codestream: bytes) -> tuple[int, int] | None:
    """Return the (height, width) that a JPEG, JPEG Lossless, JPEG-LS, JPEG 2000 or HTJ2K codestream states.

    None if it is none of these, or states no size where it should.
    Source: ISO 10918-1 B.2.2, ISO 14495-1 C.2.2, ISO 15444-1 A.5.1 and I.5.
    """
    try:
        if codestream.startswith(JPEG_START):
            return _read_jpeg(codestream)
        if codestream.startswith(JP2_START):
            return _read_jpeg2000(codestream, _find_codestream(codestream))
        return _read_jpeg2000(codestream, 0)
    except (struct.error, ZeroDivisionError):  # it ends too early
        return None


def _read_jpeg(codestream: bytes) -> tuple[int, int] | None:
    place = 2
    while place < len(codestream):
        place = codestream.find(b"\xff", place)  # decoders skip what stands between segments
        if place < 0:
            return None
        marker = struct.unpack_from(">B", codestream, place + 1)[0]
        if marker in SCAN_MARKERS:
            return None
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        place += 2
        if marker in WITHOUT_LENGTH:
            continue
        if marker in FRAME_MARKERS:
            _, _, height, width = struct.unpack_from(">HBHH", codestream, place)
            return height, width
        place += max(2, struct.unpack_from(">H", codestream, place)[0])
    return None


def _find_codestream(boxes: bytes) -> int:
    """Return where the contiguous codestream box of a JP2 file has its content; its end if there is none."""
    place = 0
    while boxes[place + 4 : place + 8] != b"jp2c":
        length, wide = struct.unpack_from(">I4xQ", boxes, place)
        place += max(8, wide if length == 1 else length or len(boxes))
    return place + (16 if boxes[place : place + 4] == b"\0\0\0\1" else 8)


def _read_jpeg2000(codestream: bytes, start: int) -> tuple[int, int] | None:
    """Return the size of the first component on its own grid."""
    if codestream[start : start + 4] != J2K_START:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", codestream, start + 8)
    across, down = struct.unpack_from(">BB", codestream, start + 43)
    return -(-bottom // down) - -(-top // down), -(-right // across) - -(-left // across)
