"""JPEG 2000 with threads has the values of JPEG 2000 without, and what it cannot decode the other one decides."""

import io

import numpy as np
import pydicom
import pytest
from fuzz.seeds import SHIPPED, chest_header, save
from pydicom import uid
from pydicom.encaps import get_frame

from alta_sdk import DicomError
from alta_sdk.dicom import decoding, openjpeg
from alta_sdk.dicom.codestream import read_frame_header
from alta_sdk.dicom.image import read_image
from alta_sdk.dicom.pixels import decode_first_frame

DEPTHS = (8, 9, 12, 16)
CODINGS = {"lossless": (uid.JPEG2000Lossless, {}), "lossy": (uid.JPEG2000, {"j2k_cr": [8]})}


def make_samples(rows=96, columns=81, bits=12, seed=0):
    y, x = np.mgrid[0:rows, 0:columns]
    shades = 0.5 + 0.3 * np.sin(x / 17) * np.cos(y / 13) + np.random.default_rng(seed).normal(0, 0.01, x.shape)
    return np.clip(shades * ((1 << bits) - 1), 0, (1 << bits) - 1).astype(np.uint8 if bits <= 8 else np.uint16)


def compress(samples, bits, coding):
    header = chest_header(samples)
    header.BitsAllocated, header.BitsStored, header.HighBit = 8 * samples.itemsize, bits, bits - 1
    syntax, options = CODINGS[coding]
    header.compress(syntax, generate_instance_uid=False, **options)
    return header


def take_frame(header):
    return get_frame(header.PixelData, 0, number_of_frames=1)


def decode(data, monkeypatch, threads):
    """Return what decoding gives: its values, or why it is refused."""
    monkeypatch.setattr(decoding, "count_threads", lambda: threads)
    try:
        return decode_first_frame(read_image(data).stored)
    except DicomError as error:
        return str(error)


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, str):
        assert one == other
    else:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("bits", DEPTHS)
def test_threads_change_no_value(bits, coding, monkeypatch):
    header = compress(make_samples(bits=bits), bits, coding)
    frame = take_frame(header)
    assert openjpeg.decode_grey(frame, read_frame_header(frame), 2, is_coarse=False) is not None
    alone, together = (decode(save(header), monkeypatch, threads) for threads in (1, 2))
    assert_same(alone, together)
    if coding == "lossless":
        np.testing.assert_array_equal(together, make_samples(bits=bits))


def test_threads_change_no_value_of_files_that_others_wrote(monkeypatch):
    files = sorted(SHIPPED.glob("*.dcm"))
    tried = 0
    for path in files:
        if path.stat().st_size > 1 << 20 or b"1.2.840.10008.1.2.4.9" not in path.read_bytes()[:600]:
            continue
        assert_same(*(decode(path.read_bytes(), monkeypatch, threads) for threads in (1, 3)))
        tried += 1
    assert tried >= 3


def test_damaged_frames_are_refused_or_read_as_without_threads(monkeypatch):
    random = np.random.default_rng(5)
    header = compress(make_samples(), 12, "lossy")
    frame, refused = take_frame(header), 0
    for number in range(40):
        damaged = bytearray(frame)
        place = int(random.integers(100, len(damaged)))
        if number % 4 == 0:
            del damaged[place:]
        elif number % 4 == 1:
            del damaged[place : place + 40]
        else:
            damaged[place] ^= 1 << int(random.integers(8))
        header.PixelData = pydicom.encaps.encapsulate([bytes(damaged)])
        alone, together = (decode(save(header), monkeypatch, threads) for threads in (1, 2))
        assert_same(alone, together)
        refused += isinstance(alone, str)
    assert 0 < refused < 40


def test_what_is_no_grey_frame_of_one_tile_is_left_to_the_other_decoder():
    frame = take_frame(compress(make_samples(), 12, "lossless"))
    stated = read_frame_header(frame)
    assert openjpeg.read_coding(frame) == openjpeg.Coding(levels=5, is_reversible=True)
    for changes in ({"channels": 3}, {"is_signed": True}, {"precision": 20}):
        assert openjpeg.decode_grey(frame, stated._replace(**changes), 2, is_coarse=False) is None
    narrow_tile, offset, boxed = bytearray(frame), bytearray(frame), b"\0\0\0\x0cjP  \r\n\x87\n" + frame
    narrow_tile[24:28] = (40).to_bytes(4)
    offset[16:20] = (1).to_bytes(4)
    for other in (bytes(narrow_tile), bytes(offset), boxed, frame[:30], frame[:50], b""):
        assert openjpeg.read_coding(other) is None
        assert openjpeg.decode_grey(other, stated, 2, is_coarse=False) is None


def test_a_frame_is_complete_if_its_parts_and_its_end_are_there():
    for coding in CODINGS:
        frame = take_frame(compress(make_samples(), 12, coding)).rstrip(b"\0")
        assert openjpeg.is_complete(frame)
        assert openjpeg.is_complete(frame + b"\0")
        for end in (2, 4, len(frame) // 2, 120, 60, 10):
            assert not openjpeg.is_complete(frame[:end])
        assert not openjpeg.is_complete(frame[:-2])
        assert not openjpeg.is_complete(frame[:200] + frame[201:])


def test_the_largest_frame_decodes_with_threads_in_the_memory_of_a_worker(monkeypatch):
    samples = np.zeros((4096, 8192), np.uint16)
    samples[::64, ::64] = 4095
    header = compress(samples, 12, "lossless")
    pool = decoding._Pool()
    monkeypatch.setattr(decoding, "_pool", pool)
    together = decode(save(header), monkeypatch, decoding.MAX_THREADS)
    pool.close()
    np.testing.assert_array_equal(together, samples)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("sides", [(1860, 1761), (1761, 1860)])
def test_without_the_finest_details_a_smooth_picture_is_nearly_the_same(sides, coding):
    y, x = np.mgrid[0 : sides[0], 0 : sides[1]]
    smooth = (2000 + 1500 * np.sin(x / 90) * np.cos(y / 70)).astype(np.uint16)
    frame = take_frame(compress(smooth, 12, coding))
    coarse = openjpeg.decode_grey(frame, read_frame_header(frame), 1, is_coarse=True)
    assert coarse.dtype == np.uint16
    whole = openjpeg._decode(frame, 12, 1, reduce=0)
    apart = np.abs(coarse.astype(int) - whole)  # of 4095
    assert apart.max() <= 32  # where the last row or column has no neighbour
    assert apart[:-2, :-2].max() <= 8
    assert not np.array_equal(coarse, whole)


def test_a_small_frame_or_one_without_levels_keeps_its_details():
    frame = take_frame(compress(make_samples(1759, 1800), 12, "lossless"))
    stated = read_frame_header(frame)
    assert openjpeg.decode_grey(frame, stated, 1, is_coarse=True) is None
    np.testing.assert_array_equal(openjpeg.decode_grey(frame, stated, 2, is_coarse=True), make_samples(1759, 1800))


def test_a_frame_that_is_cut_short_is_refused_without_its_details_too():
    frame = take_frame(compress(make_samples(1760, 1760), 12, "lossless")).rstrip(b"\0")
    stated = read_frame_header(frame)
    assert openjpeg.decode_grey(frame, stated, 1, is_coarse=True) is not None
    with pytest.raises(ValueError, match="cut short"):
        openjpeg.decode_grey(frame[: len(frame) * 9 // 10], stated, 1, is_coarse=True)


def test_pillow_shifts_no_other_way_than_is_undone_here():
    """What it does to samples is not documented: a release that does otherwise is noticed here."""
    from PIL import Image

    frame = take_frame(compress(make_samples(bits=9), 9, "lossless"))
    with Image.open(io.BytesIO(frame), formats=("JPEG2000",)) as image:
        np.testing.assert_array_equal(np.asarray(image), make_samples(bits=9) << 7)
