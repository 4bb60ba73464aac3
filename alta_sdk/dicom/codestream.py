"""What a compressed frame itself says of its size and samples: decoders go by that, and a header that says otherwise
lies.

Only the product of the two sizes has to fit for a decoder's output to be laid out by the header: 160 lines of 100
would be read as 100 of 160, each line wrapped at the wrong place. Used in the decoding process, which imports
nothing of this package: this module imports nothing but the standard library.
"""

import struct
from typing import NamedTuple

JPEG_START, J2K_START, JP2_START = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"
# Frame headers of every JPEG process (ISO 10918-1, table B.1), and of JPEG-LS (ISO 14495-1).
FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
SCAN_MARKERS = frozenset({0xD9, 0xDA})


class FrameHeader(NamedTuple):
    """What a codestream states. precision: the bits of a sample, of the widest channel.

    is_signed: None where the coding has no word for it.
    """

    height: int
    width: int
    precision: int
    channels: int
    is_signed: bool | None


def starts_frame(fragment: bytes) -> bool:
    """True if a fragment of encapsulated pixels begins a codestream and does not go on with one."""
    return fragment.startswith((JPEG_START + b"\xff", J2K_START, JP2_START))


def read_frame_header(codestream: bytes) -> FrameHeader | None:
    """Return what a JPEG, JPEG Lossless, JPEG-LS, JPEG 2000 or HTJ2K codestream states of its pixels.

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


def _read_jpeg(codestream: bytes) -> FrameHeader | None:
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
            _, precision, height, width, channels = struct.unpack_from(">HBHHB", codestream, place)
            return FrameHeader(height, width, precision, channels, None)
        place += max(2, struct.unpack_from(">H", codestream, place)[0])
    return None


def _find_codestream(boxes: bytes) -> int:
    """Return where the contiguous codestream box of a JP2 file has its content; its end if there is none."""
    place = 0
    while boxes[place + 4 : place + 8] != b"jp2c":
        length, wide = struct.unpack_from(">I4xQ", boxes, place)
        place += max(8, wide if length == 1 else length or len(boxes))
    return place + (16 if boxes[place : place + 4] == b"\0\0\0\1" else 8)


def _read_jpeg2000(codestream: bytes, start: int) -> FrameHeader | None:
    """Return the size of the first component on its own grid, and the bits of the widest one."""
    if codestream[start : start + 4] != J2K_START:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", codestream, start + 8)
    (channels,) = struct.unpack_from(">H", codestream, start + 40)
    depths = [struct.unpack_from(">BBB", codestream, start + 42 + 3 * number) for number in range(channels)]
    _, across, down = depths[0] if depths else (0, 0, 0)
    height, width = -(-bottom // down) - -(-top // down), -(-right // across) - -(-left // across)
    precision = max((depth & 0x7F) + 1 for depth, _, _ in depths)
    return FrameHeader(height, width, precision, channels, any(depth & 0x80 for depth, _, _ in depths))
