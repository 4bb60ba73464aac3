"""Ways to break a DICOM file, each a function of a generator and the bytes."""

import struct
from collections.abc import Callable

import numpy as np

Mutation = Callable[[np.random.Generator, bytearray], bytearray]

SYNTAXES = [f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99", ".5")]
SYNTAXES += [f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 57, 70, 80, 81, 90, 91, 92, 100, 201, 202, 203)]
LENGTHS = (0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x80000000, 0x10000000, 0xFFFF, 1, 0)
# What decides how much memory and time the pixels take (PS3.3 C.7.6.3): group 0028, element.
SIZES = {0x02: "US", 0x04: "CS", 0x06: "US", 0x08: "IS", 0x10: "US", 0x11: "US", 0x100: "US", 0x101: "US"}
SIZES |= {0x102: "US", 0x103: "US", 0x120: "US", 0x1050: "DS", 0x1051: "DS", 0x1052: "DS", 0x1053: "DS"}
NUMBERS = (b"1e400", b"-1e400", b"nan", b"", b"1\\2", b"0", b"-1", b"9" * 15, b"0.3", b"1_0", b"2147483648")


def flip_bits(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Flip 1 to 32 bits anywhere."""
    for place in rng.integers(0, len(data), rng.integers(1, 33)):
        data[place] ^= 1 << rng.integers(0, 8)
    return data


def flip_header_bits(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Flip 1 to 8 bits of the first 2 KiB after the preamble, where the elements are."""
    for place in rng.integers(min(128, len(data) - 1), min(2176, len(data)), rng.integers(1, 9)):
        data[place] ^= 1 << rng.integers(0, 8)
    return data


def truncate(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Cut the file anywhere, mostly early."""
    return data[: int(len(data) * rng.random() ** 2)]


def cut_out(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Take out a piece of up to 512 bytes."""
    start = int(rng.integers(0, len(data)))
    del data[start : start + int(rng.integers(1, 513))]
    return data


def repeat(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Insert a copy of a piece of up to 4 KiB."""
    start, place = (int(one) for one in rng.integers(0, len(data), 2))
    data[place:place] = data[start : start + int(rng.integers(1, 4097))]
    return data


def set_absurd_length(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Overwrite the length of an element of the header, wherever one seems to start."""
    tags = [place for place in range(128, min(len(data) - 12, 4096)) if data[place + 1] == 0 and data[place] in (8, 40)]
    if not tags:
        return data
    place = tags[rng.integers(len(tags))]
    length = LENGTHS[rng.integers(len(LENGTHS))]
    where = place + int(rng.choice([4, 6, 8]))
    kind = "<I" if where != place + 6 else "<H"
    struct.pack_into(kind, data, where, length & (0xFFFFFFFF if kind == "<I" else 0xFFFF))
    return data


def set_absurd_size(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Give Rows, Columns, bits, frames or rescale values that no radiograph has: memory bombs among them."""
    for element in rng.choice(list(SIZES), rng.integers(1, 5)):
        vr = SIZES[int(element)]
        if vr == "US":
            value = struct.pack("<H", int(rng.choice([0, 1, 7, 12, 16, 32, 1000, 20000, 32768, 65535])))
        else:
            value = NUMBERS[rng.integers(len(NUMBERS))]
        _replace_element(data, struct.pack("<HH", 0x28, int(element)), vr, value)
    return data


def nest_sequences(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Put sequences in sequences before the patient group, up to a thousand deep."""
    place = data.find(b"\x10\x00\x10\x00")
    depth = int(rng.choice([3, 30, 40, 300, 1000]))
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closed = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    if rng.random() < 0.5:  # of stated lengths, from the inside out
        nested = b""
        for _ in range(min(depth, 300)):
            nested = (
                b"\x08\x00\x40\x11SQ\0\0"
                + struct.pack("<I", len(nested) + 8)
                + b"\xfe\xff\x00\xe0"
                + (struct.pack("<I", len(nested)) + nested)
            )
    else:
        nested = opened * depth + closed * (depth if rng.random() < 0.7 else 0)
    place = max(place, 132)
    data[place:place] = nested
    return data


def change_syntax(rng: np.random.Generator, data: bytearray) -> bytearray:
    """State another transfer syntax than the one the file is in."""
    place = data.find(b"\x02\x00\x10\x00UI")
    if place < 0:
        return data
    length = int.from_bytes(data[place + 6 : place + 8], "little")
    value = SYNTAXES[rng.integers(len(SYNTAXES))].encode()
    value += b"\0" * (len(value) % 2)
    data[place + 6 : place + 8 + length] = struct.pack("<H", len(value)) + value
    return data


def garble_pixels(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Flip bits of the pixel data's first bytes, where a codestream has its header."""
    place = data.rfind(b"\xe0\x7f\x10\x00")
    if place < 0:
        return data
    end = min(len(data), place + int(rng.choice([64, 256, 100_000])))
    for where in rng.integers(place, end, rng.integers(1, 17)):
        data[where] = int(rng.integers(0, 256))
    return data


def set_codestream_size(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Let the codestream itself claim huge sides, half of the time with Rows and Columns that agree."""
    pixels = data.rfind(b"\xe0\x7f\x10\x00")
    rows, columns = (int(one) for one in rng.choice([1, 512, 5700, 20000, 65535], 2))
    if (place := data.find(b"\xff\x51", pixels)) > 0:  # JPEG 2000, SIZ: width and height of 4 bytes
        struct.pack_into(">II", data, min(place + 6, len(data) - 8), columns, rows)
        struct.pack_into(">II", data, min(place + 22, len(data) - 8), columns, rows)  # of the one tile
    for marker in (b"\xff\xc0", b"\xff\xc3", b"\xff\xf7"):  # JPEG baseline, lossless, JPEG-LS: height and width
        if (place := data.find(marker, pixels)) > 0:
            struct.pack_into(">HH", data, min(place + 5, len(data) - 4), rows, columns)
    if rng.random() < 0.5:
        for element, value in ((0x10, rows), (0x11, columns)):
            _replace_element(data, struct.pack("<HH", 0x28, element), "US", struct.pack("<H", value))
    return data


def flood(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Insert up to 120,000 private elements before the patient group."""
    count = int(rng.choice([100, 1000, 5000, 120_000], p=[0.4, 0.4, 0.18, 0.02]))
    elements = b"".join(
        struct.pack("<HH", 9 + 2 * (number >> 16), number & 0xFFFF) + b"LO\x02\x00ab" for number in range(count)
    )
    place = max(data.find(b"\x10\x00\x10\x00"), min(132, len(data)))
    data[place:place] = elements
    return data


def overwrite(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Fill a piece of up to 256 bytes with noise, zeros or ones."""
    start = int(rng.integers(0, len(data)))
    size = min(int(rng.integers(1, 257)), len(data) - start)
    kind = rng.integers(3)
    data[start : start + size] = rng.bytes(size) if kind == 0 else (b"\0" if kind == 1 else b"\xff") * size
    return data


def add_long_value(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Insert an element of up to 8 MiB before the patient group: values that are split, private or known."""
    tag = [b"\x09\x00\x10\x10", b"\x08\x00\x30\x10", b"\x08\x00\x05\x00", b"\x08\x00\x03\x00"][rng.integers(4)]
    size = int(rng.choice([1000, 60_000, 300_000, 8 << 20], p=[0.4, 0.4, 0.15, 0.05]))
    value = [b"ab\\", b"1\\", b"\\", b"\xff"][rng.integers(4)]
    value = value * (size // len(value))
    value += b" " * (len(value) % 2)
    kind = [b"UC", b"UT", b"UN", b"DS", b"LO", b"PN", b"CS"][rng.integers(7)]
    if kind in (b"UC", b"UT", b"UN"):
        element = tag + kind + b"\0\0" + struct.pack("<I", len(value)) + value
    else:
        element = tag + kind + struct.pack("<H", len(value[:60_000])) + value[:60_000]
    place = max(data.find(b"\x10\x00\x10\x00"), min(132, len(data)))
    data[place:place] = element
    return data


def add_items(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Insert a sequence of up to 400,000 items before the patient group: of views, tables or private, empty or not."""
    tag = [b"\x09\x00\x10\x10", b"\x08\x00\x18\x22", b"\x54\x00\x20\x02", b"\x28\x00\x00\x30"][rng.integers(4)]
    inner = [b"", b"\x08\x00\x00\x01SH\x02\x00ab", b"\x08\x00\x05\x00CS\x06\x00a\\b\\c "][rng.integers(3)]
    items = (b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inner)) + inner) * int(
        rng.choice([100, 2000, 20_000, 400_000], p=[0.4, 0.4, 0.18, 0.02])
    )
    if rng.random() < 0.5:
        sequence = tag + b"SQ\0\0\xff\xff\xff\xff" + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
    else:
        sequence = tag + b"SQ\0\0" + struct.pack("<I", len(items)) + items
    place = max(data.find(b"\x10\x00\x10\x00"), min(132, len(data)))
    data[place:place] = sequence
    return data


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_header_bits,
    truncate,
    cut_out,
    repeat,
    set_absurd_length,
    set_absurd_size,
    nest_sequences,
    change_syntax,
    garble_pixels,
    set_codestream_size,
    flood,
    overwrite,
    add_long_value,
    add_items,
)


def _replace_element(data: bytearray, tag: bytes, vr: str, value: bytes) -> None:
    """Give an element of explicit little endian another value; insert it before the pixels if it is not there."""
    value += (b"\0" if vr == "US" else b" ") * (len(value) % 2)
    element = tag + vr.encode() + struct.pack("<H", len(value)) + value
    place = data.find(tag + vr.encode())
    if place >= 0:
        length = int.from_bytes(data[place + 6 : place + 8], "little")
        data[place : place + 8 + length] = element
    elif (place := data.find(b"\xe0\x7f\x10\x00")) > 0:
        data[place:place] = element
