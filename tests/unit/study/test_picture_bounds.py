"""JPEG and PNG files whose decoding would not be bounded are refused by their structure."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from alta_sdk import StudyError
from alta_sdk.study.picture_bounds import MAX_PIXELS, check_picture


def encode(size, kind, mode="L", **options):
    out = io.BytesIO()
    Image.new(mode, size, 1).save(out, kind, **options)
    return out.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


PNG, JPEG = encode((64, 64), "PNG"), encode((64, 64), "JPEG")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_a_png_of_more_pixels_than_a_radiograph_is_refused(mode):
    check_picture(encode((1000, MAX_PIXELS // 1000), "PNG", mode))
    with pytest.raises(StudyError, match="Mi pixels"):
        check_picture(encode((1000, MAX_PIXELS // 1000 + 1), "PNG", mode))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_of_more_pixels_than_a_radiograph_is_refused(options):
    check_picture(encode((5792, 5792), "JPEG", **options))
    with pytest.raises(StudyError, match="Mi pixels"):
        check_picture(encode((5793, 5793), "JPEG", **options))


@pytest.mark.parametrize(
    "data",
    [
        PNG[:33] + chunk(b"tEXt", b"a\0b") * 2000 + PNG[33:],
        PNG[:33] + chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 20))) * 2000 + PNG[33:],
        PNG[:33] + chunk(b"IDAT", b"") * 70_000 + PNG[33:],
        PNG[:-12] + chunk(b"tEXt", b"a\0b") * 2000 + PNG[-12:],
        JPEG[:2] + b"\xff\xfe\0\3a" * 2000 + JPEG[2:],
        JPEG[:2] + b"\xff" * 2000 + JPEG[2:],
        JPEG[:2] + b"\xff\xd8" * 2000 + JPEG[2:],
        JPEG[:4] + JPEG[4:6] + b"\xff\xe1\xff\xff" + bytes(65_533) + (b"\xff\xe1\xff\xff" + bytes(65_533)) * 100,
    ],
)
def test_a_picture_of_parts_without_end_is_refused(data):
    with pytest.raises(StudyError, match="more parts or scans"):
        check_picture(data)


def test_a_jpeg_that_is_gone_over_again_and_again_is_refused():
    data = encode((2000, 2000), "JPEG", "RGB", progressive=True)
    check_picture(data)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(StudyError, match="more parts or scans"):
        check_picture(data[:-2] + data[last:-2] * 200 + data[-2:])


def test_broken_pictures_and_other_files_are_left_to_their_readers():
    rng = np.random.default_rng(0)
    for data in (PNG, JPEG):
        for end in range(0, len(data), 7):
            check_picture(data[:end])
            with contextlib.suppress(StudyError):
                check_picture(data[:end] + rng.bytes(100))
    check_picture(b"")
    check_picture(rng.bytes(1000))
