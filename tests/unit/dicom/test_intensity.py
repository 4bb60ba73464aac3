"""Intensity: the way from stored values to grey levels."""

from pathlib import Path

import numpy as np
import pytest

from alta_sdk import DicomError, EngineError
from alta_sdk.dicom.intensity import (
    AS_STORED,
    MIMIC_JPG,
    MINMAX,
    PROFILES,
    PUBLISHED,
    VOI,
    equalise_histogram,
    name_picture_profile,
    scale_intensity,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "intensity.npz"


def test_intensity_equals_opencv_to_the_last_bit():
    with np.load(GOLDEN) as cases:
        names = [name for name in cases if name.startswith("stored")]
        assert len(names) == 11
        for name in names:
            grey = scale_intensity(cases[name], is_monochrome1=False, profile=PUBLISHED)
            np.testing.assert_array_equal(grey, cases[name.replace("stored", "grey")])


def test_mimic_jpg_equals_opencvs_equalisation_to_the_last_bit():
    with np.load(GOLDEN) as cases:
        names = [name for name in cases if name.startswith("mimic_stored")]
        assert len(names) == 4
        for name in names:
            for result, inverted in (("grey", False), ("inverted", True)):
                grey = scale_intensity(cases[name], is_monochrome1=inverted, profile=MIMIC_JPG)
                np.testing.assert_array_equal(grey, cases[name.replace("stored", result)])


def test_one_grey_value_is_not_equalised():
    grey = np.full((5, 5), 7, np.uint8)
    np.testing.assert_array_equal(equalise_histogram(grey), grey)


def test_a_header_that_says_nothing_is_shown_from_minimum_to_maximum():
    stored = np.array([[-100, 0, 100]], dtype=np.int16)
    assert scale_intensity(stored, is_monochrome1=False, profile=VOI).tolist() == [[0, 128, 255]]
    assert scale_intensity(stored, is_monochrome1=True, profile=VOI).tolist() == [[255, 128, 0]]


def test_an_image_of_one_value_and_values_of_more_than_16_bits_are_refused():
    for profile in (MIMIC_JPG, VOI, MINMAX):
        with pytest.raises(DicomError, match="one value"):
            scale_intensity(np.full((4, 4), 9, np.uint16), is_monochrome1=False, profile=profile)
    for profile in PROFILES:
        with pytest.raises(DicomError, match="16 bits"):
            scale_intensity(np.array([[0, 1 << 20]]), is_monochrome1=False, profile=profile)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16])
def test_minmax_stretches_and_truncates_whatever_the_depth(kind):
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    stored = np.array([[low + 3, low + 4, high - 3]], dtype=kind)
    exact = (stored.astype(float) - (low + 3)) / (high - low - 6) * 255
    grey = scale_intensity(stored, is_monochrome1=False, profile=MINMAX)
    assert grey.tolist() == exact.astype(int).tolist() and grey.dtype == np.uint8


def test_minmax_inverts_first_and_truncates_then():
    stored = np.array([[0, 1, 2, 3]], dtype=np.uint16)
    assert scale_intensity(stored, is_monochrome1=False, profile=MINMAX).tolist() == [[0, 85, 170, 255]]
    stored = np.array([[0, 100, 200]], dtype=np.uint16)
    for inverted, expected in ((False, [0, 127, 255]), (True, [255, 127, 0])):  # 128 if it were truncated first
        assert scale_intensity(stored, is_monochrome1=inverted, profile=MINMAX).tolist() == [expected]


def test_minmax_stretches_all_channels_of_colour_alike():
    colour = np.array([[[10, 20, 30], [40, 50, 60]]], dtype=np.uint8)
    grey = scale_intensity(colour, is_monochrome1=False, profile=MINMAX)
    assert grey.tolist() == [[[0, 51, 102], [153, 204, 255]]]


def test_each_profile_says_what_it_does_with_pictures():
    assert {name_picture_profile(profile) for profile in (PUBLISHED, MIMIC_JPG, VOI)} == {AS_STORED}
    assert name_picture_profile(MINMAX) == MINMAX
    with pytest.raises(EngineError, match="minmax-v1"):
        name_picture_profile("other-v1")


def test_monochrome1_is_inverted():
    stored = np.array([[0, 100, 200]], dtype=np.uint16)
    assert scale_intensity(stored, is_monochrome1=True, profile=PUBLISHED).tolist() == [[255, 127, 0]]


def test_an_empty_image_and_an_unknown_profile_are_refused():
    with pytest.raises(DicomError, match="empty"):
        scale_intensity(np.zeros((4, 4), np.uint16), is_monochrome1=False, profile=PUBLISHED)
    with pytest.raises(EngineError, match="published-v1"):
        scale_intensity(np.ones((4, 4), np.uint16), is_monochrome1=False, profile="other-v1")
