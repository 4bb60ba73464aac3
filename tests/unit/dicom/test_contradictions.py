"""A header that contradicts its pixels is refused, in every coding; padding and what the standard allows are read."""

import io

import numpy as np
import pydicom
import pytest
from fuzz.seeds import SHIPPED, chest_header, save
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame

from alta_sdk import DicomError, Study
from alta_sdk.dicom.contradictions import MAX_PADDING_BYTES
from alta_sdk.dicom.image import read_image
from alta_sdk.dicom.pixels import decode_first_frame

ROWS, COLUMNS = np.mgrid[0:96, 0:80]
WAVES = (np.sin(ROWS / 9) + np.cos(COLUMNS / 7) + 2) / 4  # as smooth as a radiograph, from 0 to 1
STORED = (4095 * WAVES).astype(np.uint16)
GREY = (255 * WAVES).astype(np.uint8)
COLOUR = np.stack([GREY, GREY, 255 - GREY], axis=2)
LOSSLESS = (uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.RLELossless)
BY_NAME = {syntax.keyword: syntax for syntax in LOSSLESS}


def native(pixels, **elements):
    return read_image(save(chest_header(pixels, **elements)))


def compressed(pixels, syntax, **elements):
    """Return an image whose codestream holds other pixels than its header describes."""
    header = chest_header(pixels)
    if syntax == uid.JPEGBaseline8Bit:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG")
        frame = out.getvalue()
    else:
        header.compress(syntax, generate_instance_uid=False)
        frame = get_frame(header.PixelData, 0, number_of_frames=1)
    frames = elements.pop("frames", 1)
    header = chest_header(pixels, PixelData=encapsulate([frame] * frames), **elements)
    header["PixelData"].is_undefined_length = True
    header.file_meta.TransferSyntaxUID = syntax
    return read_image(save(header))


def decode(image):
    return decode_first_frame(image.stored)


@pytest.mark.parametrize(
    "elements",
    [
        {"Rows": 48},
        {"Columns": 40},
        {"Rows": 95},
        {"PixelData": STORED.tobytes() * 2},
        {"PixelData": STORED.tobytes() + bytes(MAX_PADDING_BYTES + 2)},
        {"PixelData": STORED.tobytes() + b"\0\1"},
        {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
        {"NumberOfFrames": 1, "PixelData": STORED.tobytes() * 3},
    ],
)
def test_native_pixels_that_go_on_behind_their_frames_are_refused(elements):
    with pytest.raises(DicomError, match="longer than its Rows, Columns"):
        decode(native(STORED, **elements))


@pytest.mark.parametrize("padding", [bytes(2), bytes(4096), b"\xff" * MAX_PADDING_BYTES])
def test_padding_behind_native_pixels_is_left_out_and_told(padding):
    image = native(STORED, PixelData=STORED.tobytes() + padding)
    np.testing.assert_array_equal(decode(image), STORED)
    assert "taken for padding" in image.notices[0]
    assert native(STORED).notices == ()


def test_the_byte_that_makes_a_length_even_is_not_told():
    odd = np.ascontiguousarray(GREY[:95, :79])
    assert native(odd, PixelData=odd.tobytes() + b"\0").notices == ()
    assert "padding" in read_image((SHIPPED / "MR_small_padded.dcm").read_bytes()).notices[0]


def test_colour_of_halved_channels_has_its_own_length():
    image = read_image((SHIPPED / "SC_ybr_full_422_uncompressed.dcm").read_bytes())
    assert image.notices == () and decode(image).shape == (100, 100, 3)


def test_the_first_of_native_frames_beyond_the_bound_is_kept_with_what_stands_behind_all(monkeypatch):
    monkeypatch.setattr("alta_sdk.dicom.pixel_element.MAX_PIXEL_BYTES", 2 * STORED.nbytes)
    frames = {"NumberOfFrames": 3}
    image = native(STORED, PixelData=STORED.tobytes() * 3 + bytes(512), **frames)
    np.testing.assert_array_equal(decode(image), STORED)
    assert len(image.notices) == 2
    with pytest.raises(DicomError, match="longer than its Rows, Columns"):
        decode(native(STORED, PixelData=STORED.tobytes() * 4, **frames))


@pytest.mark.parametrize("syntax", ["JPEG2000Lossless", "JPEGLSLossless"])
def test_a_codestream_of_more_bits_than_are_allocated_is_refused(syntax):
    narrow = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    with pytest.raises(DicomError, match="more bits or other channels"):
        decode(compressed(STORED, BY_NAME[syntax], **narrow))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEG2000Lossless, uid.JPEGLSLossless])
def test_a_codestream_of_other_channels_is_refused(syntax):
    grey = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    for pixels, elements in ((COLOUR, grey), (GREY, colour)):
        with pytest.raises(DicomError, match="other channels"):
            decode(compressed(pixels, syntax, **elements))


@pytest.mark.parametrize(
    ("syntax", "pixels"),
    [(uid.JPEGBaseline8Bit, GREY), *((one, pixels) for one in LOSSLESS for pixels in (GREY, STORED))],
)
def test_a_sign_that_tears_the_picture_is_refused(syntax, pixels):
    with pytest.raises(DicomError, match="other bits or another sign"):
        decode(compressed(pixels, syntax, PixelRepresentation=1))
    with pytest.raises(DicomError, match="other bits or another sign"):
        decode(native(pixels, PixelRepresentation=1))


@pytest.mark.parametrize("bits", [11, 10, 9])
def test_bits_that_are_cut_off_and_tear_the_picture_are_refused(bits):
    elements = {"BitsStored": bits, "HighBit": bits - 1}
    with pytest.raises(DicomError, match="other bits or another sign"):
        decode(native(STORED, **elements))
    with pytest.raises(DicomError, match="other bits or another sign"):
        decode(compressed(STORED, uid.RLELossless, **elements))
    with pytest.raises(DicomError, match="other bits or another sign"):
        decode(compressed(GREY, uid.JPEGBaseline8Bit, BitsStored=7, HighBit=6))
    with pytest.raises(DicomError, match="other bits or another sign"):
        decode(native(STORED << 4))  # they stand at the upper end, and HighBit says the lower


@pytest.mark.parametrize("syntax", [None, *LOSSLESS])
def test_signed_pixels_are_read_as_they_are(syntax):
    for pixels in (STORED.astype(np.int16) - 2048, STORED.astype(np.int16) - 1000):
        elements = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}
        if syntax is None:
            image = native(pixels, **elements)
        else:
            header = chest_header(pixels, **elements)
            header.compress(syntax, generate_instance_uid=False)
            image = read_image(save(header))
        np.testing.assert_array_equal(decode(image), pixels)


def test_other_bits_beside_the_stored_ones_are_masked():
    overlay = np.zeros_like(STORED)
    overlay[20:60, 30:50] = 0x1000
    np.testing.assert_array_equal(decode(native(STORED | overlay)), STORED)
    noise = np.random.default_rng(3).integers(0, 16, STORED.shape).astype(np.uint16) << 12
    np.testing.assert_array_equal(decode(native(STORED | noise)), STORED)


def test_a_few_values_beyond_the_range_are_not_a_torn_picture():
    specks = STORED.copy()
    specks[40, 40] = 4096 + 10
    assert decode(native(specks))[40, 40] == 10


def test_values_below_0_that_a_header_denies_are_refused():
    header = chest_header(STORED.astype(np.int16) - 2048, PixelRepresentation=1)
    header.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    assert decode(read_image(save(header))).min() < 0
    header.PixelRepresentation = 0
    with pytest.raises(DicomError, match="values below 0"):
        decode(read_image(save(header)))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, *LOSSLESS])
def test_more_frames_than_are_stated_are_refused(syntax):
    for elements in ({}, {"NumberOfFrames": 1}, {"NumberOfFrames": 0}):
        with pytest.raises(DicomError, match="more frames"):
            decode(compressed(GREY, syntax, frames=2, **elements))
    np.testing.assert_allclose(decode(compressed(GREY, syntax, frames=2, NumberOfFrames=2)), GREY, atol=4)


def test_a_frame_in_fragments_is_one_frame():
    header = chest_header(STORED)
    header.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    frame = get_frame(header.PixelData, 0, number_of_frames=1)
    header.PixelData = encapsulate([frame], fragments_per_frame=3)
    np.testing.assert_array_equal(decode(read_image(save(header))), STORED)


def test_what_pydicom_ships_with_a_sign_that_differs_is_read_as_before():
    path = SHIPPED / "J2K_pixelrep_mismatch.dcm"
    np.testing.assert_array_equal(decode(read_image(path.read_bytes())), pydicom.dcmread(path).pixel_array)


def test_a_study_tells_of_padding():
    study = Study.from_dicom(save(chest_header(STORED, PixelData=STORED.tobytes() + bytes(64))))
    assert "padding" in " ".join(study.read_notes(study.slots))
