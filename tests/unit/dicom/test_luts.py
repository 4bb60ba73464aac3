"""The grey-scale pipeline of voi-v1 against pydicom's, where pydicom's is right, and against the standard."""

import numpy as np
import pytest
from fuzz.seeds import chest_header, lut_item, save
from pydicom import Dataset, config
from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

from alta_sdk import DicomError
from alta_sdk.dicom.image import decode_grey, read_image
from alta_sdk.dicom.intensity import PUBLISHED, VOI, GreyOptions
from alta_sdk.dicom.luts import Window, read_lut

ROWS, COLUMNS = np.mgrid[0:64, 0:64]
RAMP = (ROWS * 64 + COLUMNS).astype(np.uint16)  # each 12-bit value once


def grey_of(window=None, pixels=RAMP, **elements):
    image = read_image(save(chest_header(pixels, **elements)))
    return decode_grey(image, GreyOptions(VOI, window))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(2048, 4096), (1000, 500), (2000.5, 1.5), (-300, 2000)])
def test_windows_are_pydicoms(function, center, width):
    elements = {"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": function}
    header = chest_header(RAMP, **elements, RescaleSlope=1, RescaleIntercept=0)
    expected = apply_windowing(RAMP.astype(np.float64), header) * 255 / 4095
    np.testing.assert_allclose(grey_of(**elements), expected, rtol=0, atol=0.5 + 1e-9)


def test_rescale_comes_before_the_window():
    plain = grey_of(WindowCenter=1000, WindowWidth=500)
    scaled = grey_of(WindowCenter=1990, WindowWidth=1000, RescaleSlope=2, RescaleIntercept=-10)
    np.testing.assert_allclose(scaled.astype(int), plain.astype(int), rtol=0, atol=1)  # LINEAR is half a value off
    falling = grey_of(RescaleSlope=-1, RescaleIntercept=0)
    np.testing.assert_array_equal(falling, 255 - grey_of())


def test_the_first_window_is_taken_or_the_one_asked_for():
    windows = {"WindowCenter": [1000, 3000], "WindowWidth": [500, 800]}
    np.testing.assert_array_equal(grey_of(**windows), grey_of(WindowCenter=1000, WindowWidth=500))
    np.testing.assert_array_equal(grey_of(2, **windows), grey_of(WindowCenter=3000, WindowWidth=800))
    with pytest.raises(DicomError, match="window 3 is not there: the image has 2 windows"):
        grey_of(3, **windows)
    image = read_image(save(chest_header(RAMP, **windows)))
    with pytest.raises(DicomError, match="cannot be chosen with intensity profile published-v1"):
        decode_grey(image, GreyOptions(PUBLISHED, window=1))


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"WindowCenter": 100, "WindowWidth": 0.5}, "width is less than 1"),
        ({"WindowCenter": 100, "WindowWidth": 0, "VOILUTFunction": "LINEAR_EXACT"}, "width is less than 1"),
        ({"WindowCenter": 100, "WindowWidth": 50, "VOILUTFunction": "CUBIC"}, "function is unknown"),
        ({"WindowCenter": [100, 200], "WindowWidth": 50}, "differ in number"),
        ({"PresentationLUTShape": "LIN OD"}, "shape is unknown"),
        ({"PresentationLUTSequence": [Dataset()]}, "as a table is not supported"),
        ({"RescaleSlope": 0}, "RescaleSlope is 0"),
    ],
)
def test_what_the_standard_does_not_define_is_named(elements, message):
    with pytest.raises(DicomError, match=message):
        grey_of(**elements)
    image = read_image(save(chest_header(RAMP, **elements)))
    assert decode_grey(image, GreyOptions(PUBLISHED)).max() == 255  # which reads none of it


def test_a_window_of_width_1_is_a_threshold():
    assert Window(100, 1).apply(np.array([98.0, 99.5, 99.6, 100.0])).tolist() == [0, 0, 255, 255]


def test_modality_and_voi_luts_are_pydicoms():
    curve = (4095 * np.linspace(0, 1, 4096) ** 2).astype(np.uint16)
    short = np.linspace(0, 65535, 1000).astype(np.uint16)
    header = chest_header(RAMP, ModalityLUTSequence=[lut_item(curve, 16)], VOILUTSequence=[lut_item(short, 16, 200)])
    expected = apply_voi(apply_modality_lut(RAMP, header), header) * (255 / 65535)
    grey = grey_of(ModalityLUTSequence=header.ModalityLUTSequence, VOILUTSequence=header.VOILUTSequence)
    np.testing.assert_allclose(grey, expected, rtol=0, atol=0.5 + 1e-9)


def test_an_8_bit_voi_lut_of_4096_entries_maps_all_of_them():
    entries = (255 * np.linspace(0, 1, 4096) ** 2).astype(np.uint16)
    np.testing.assert_array_equal(grey_of(VOILUTSequence=[lut_item(entries, 8)]).ravel(), entries)


def test_the_voi_lut_goes_before_the_window_unless_one_is_asked_for():
    table = lut_item(np.linspace(4095, 0, 4096).astype(np.uint16), 12)
    both = {"VOILUTSequence": [table], "WindowCenter": 1000, "WindowWidth": 500}
    np.testing.assert_array_equal(grey_of(**both), grey_of(VOILUTSequence=[table]))
    np.testing.assert_array_equal(grey_of(1, **both), grey_of(WindowCenter=1000, WindowWidth=500))


def test_a_table_of_words_in_either_byte_order_and_of_bytes_is_read():
    entries = np.arange(256, dtype=np.uint16)
    for order, little in (("<u2", True), (">u2", False)):
        item = Dataset()
        item.add_new("LUTDescriptor", "SS", [256, -100, 16])
        item.add_new("LUTData", "OW", entries.astype(order).tobytes())
        item.set_original_encoding(False, little)
        lut = read_lut(item, is_signed=True)
        assert (lut.first, lut.bits) == (-100, 16)
        np.testing.assert_array_equal(lut.entries, entries)
    packed = Dataset()
    packed.add_new("LUTDescriptor", "US", [256, 0, 8])
    packed.add_new("LUTData", "OW", entries.astype(np.uint8).tobytes())
    np.testing.assert_array_equal(read_lut(packed, is_signed=False).entries, entries)


@pytest.mark.parametrize("change", [{"LUTDescriptor": [300, 0, 16]}, {"LUTDescriptor": [256, 0, 7]}, {"LUTData": None}])
def test_a_malformed_table_is_named(change):
    item = lut_item(np.arange(256, dtype=np.uint16), 16)
    for keyword, value in change.items():
        setattr(item, keyword, value)
    with pytest.raises(DicomError, match="look-up table is malformed"):
        read_lut(item, is_signed=False)


def test_a_presentation_lut_inverts_as_monochrome1_does_and_both_invert_once():
    plain = grey_of()
    np.testing.assert_array_equal(grey_of(PresentationLUTShape="IDENTITY"), plain)
    inverted = 255 - plain
    for elements in (
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ):
        np.testing.assert_allclose(grey_of(**elements).astype(int), inverted.astype(int), rtol=0, atol=1)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_stretch_the_image(photometric):
    pixels = np.clip(RAMP, 1000, 2000)
    expected = grey_of(pixels=pixels, PhotometricInterpretation=photometric)
    padded = pixels.copy()
    padded[:, :8], padded[:, 8:16] = 4095, 4090
    grey = grey_of(
        pixels=padded,
        PhotometricInterpretation=photometric,
        PixelPaddingValue=4095,
        PixelPaddingRangeLimit=4090,
    )
    np.testing.assert_array_equal(grey[:, :16], 0)
    np.testing.assert_array_equal(grey[:, 16:], expected[:, 16:])


def test_padding_of_signed_pixels_may_be_written_unsigned():
    pixels = (RAMP.astype(np.int16) - 2048).astype(np.int16)
    pixels[0] = -2000
    elements = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}
    header = chest_header(pixels, **elements)
    with config.disable_value_validation():
        header.add_new("PixelPaddingValue", "US", 65536 - 2000)
    grey = decode_grey(read_image(save(header)), GreyOptions(VOI))
    assert (grey[0] == 0).all() and grey[1:].max() == 255
