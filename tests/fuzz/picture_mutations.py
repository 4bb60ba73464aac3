"""Ways to break a JPEG or PNG file beside those that break any bytes: absurd sizes, and parts without end."""

import struct
import zlib

import numpy as np

from .mutations import Mutation, cut_out, flip_bits, overwrite, repeat, truncate

SIDES = (0, 1, 31, 512, 5792, 13_000, 30_000, 65_500)
TINY = 1 << 20


def set_picture_size(rng: np.random.Generator, data: bytearray) -> bytearray:
    """State other sides, with a right checksum in a PNG."""
    width, height = (int(one) for one in rng.choice(SIDES, 2))
    if data[12:16] == b"IHDR" and len(data) > 33:  # an earlier mutation may have cut it off
        struct.pack_into(">II", data, 16, width, height)
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        if 0 <= (place := data.find(marker)) < len(data) - 9:
            struct.pack_into(">HH", data, place + 5, height, width)
    return data


def add_parts(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Insert up to 200,000 parts that carry no pixels: comments, texts, profiles that inflate to a mebibyte, junk."""
    count = int(rng.choice([10, 900, 5000, 200_000], p=[0.3, 0.4, 0.25, 0.05]))
    if data[12:16] == b"IHDR":
        bodies = {b"tEXt": b"a\0b", b"zTXt": b"a\0\0" + zlib.compress(bytes(TINY)), b"IDAT": b""}
        kind = list(bodies)[rng.integers(len(bodies))]
        body = bodies[kind]
        part = struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))
        data[33:33] = part * min(count, (16 << 20) // len(part))
    else:
        parts = (b"\xff\xfe\0\3a", b"\xff", b"\0", b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527))
        part = parts[rng.integers(len(parts))]
        data[2:2] = part * min(count, (16 << 20) // len(part))
    return data


def repeat_scan(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Let a progressive JPEG go over its pixels up to a thousand times."""
    place = data.rfind(b"\xff\xda")
    if place > 0:
        data[-2:-2] = data[place:-2] * int(rng.choice([10, 100, 1000]))
    return data


PICTURE_MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    truncate,
    cut_out,
    repeat,
    overwrite,
    set_picture_size,
    set_picture_size,
    add_parts,
    repeat_scan,
)
