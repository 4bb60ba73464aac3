"""Files of 1 MiB to 1 GiB to start from: chest radiographs with pixel data, or one element, of that size.

They are sparse: what is not written reads as zeros and takes no room on the disk.
"""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

LEAST, MOST = 1 << 20, 1 << 30
PIXELS = b"\xe0\x7f\x10\x00"
Grow = Callable[[np.random.Generator, bytearray, int], tuple[bytearray, int]]


def draw_size(rng: np.random.Generator) -> int:
    """Draw a size, each power of two as often as another."""
    return int(LEAST * (MOST / LEAST) ** rng.random())


def grow_pixels(rng: np.random.Generator, head: bytearray, size: int) -> tuple[bytearray, int]:
    """Let the pixel data be of that size, with Rows, Columns and frames that may ask for them."""
    place = head.rfind(PIXELS)
    frames = int(rng.choice([1, 1, 3, 60]))
    side = int(min(5792, (size / 2 / frames) ** 0.5))
    for element, value in ((0x10, side), (0x11, side)):
        where = head.find(struct.pack("<HH", 0x28, element) + b"US")
        if where > 0:
            struct.pack_into("<H", head, where + 8, value)
    text = str(frames).encode().ljust(2)
    head = head[:place] + PIXELS + b"OW\0\0" + struct.pack("<I", size)
    where = head.find(b"\x28\x00\x10\x00US")
    head[where:where] = b"\x28\x00\x08\x00IS" + struct.pack("<H", len(text)) + text
    return head, size


def grow_element(rng: np.random.Generator, head: bytearray, size: int) -> tuple[bytearray, int]:
    """Put an element of that size before the patient: private or known, of several kinds; behind it is nothing."""
    place = max(head.find(b"\x10\x00\x10\x00"), 132)
    tag = [b"\x09\x00\x10\x10", b"\x08\x00\x30\x10", b"\x08\x00\x18\x22"][rng.integers(3)]
    kind = [b"UC", b"UT", b"OB", b"UN", b"SQ"][rng.integers(5)]
    return head[:place] + tag + kind + b"\0\0" + struct.pack("<I", size), size


def grow_undefined(rng: np.random.Generator, head: bytearray, size: int) -> tuple[bytearray, int]:
    """Put a sequence, or compressed pixels, without a stated length before that many zeros."""
    place = head.rfind(PIXELS) if rng.random() < 0.5 else max(head.find(b"\x10\x00\x10\x00"), 132)
    opened = PIXELS + b"OB\0\0" if place == head.rfind(PIXELS) else b"\x09\x00\x10\x10SQ\0\0"
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", int(rng.choice([0, 8, size, 0xFFFFFFFF])))
    return head[:place] + opened + b"\xff\xff\xff\xff" + item * int(rng.choice([1, 1000, 400_000])), size


def grow_tail(rng: np.random.Generator, head: bytearray, size: int) -> tuple[bytearray, int]:
    """Put that many zeros behind the file, whatever it is."""
    return head, size


GROWTHS: tuple[Grow, ...] = (grow_pixels, grow_pixels, grow_element, grow_undefined, grow_tail)


def write_large(path: Path, head: bytes, zeros: int) -> None:
    """Write a file of a head and so many zeros."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + zeros)
