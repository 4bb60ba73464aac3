"""Intensity: the way from stored values to grey levels."""

from pathlib import Path

import numpy as np
import pytest

from alta_sdk import DicomError, EngineError
from alta_sdk.dicom.intensity import MIMIC_JPG, PROFILES, PUBLISHED, VOI, equalise_histogram, scale_intensity

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
    for profile in (MIMIC_JPG, VOI):
        with pytest.raises(DicomError, match="one value"):
            scale_intensity(np.full((4, 4), 9, np.uint16), is_monochrome1=False, profile=profile)
    for profile in PROFILES:
        with pytest.raises(DicomError, match="16 bits"):
            scale_intensity(np.array([[0, 1 << 20]]), is_monochrome1=False, profile=profile)


def test_monochrome1_is_inverted():
    stored = np.array([[0, 100, 200]], dtype=np.uint16)
    assert scale_intensity(stored, is_monochrome1=True, profile=PUBLISHED).tolist() == [[255, 127, 0]]


def test_an_empty_image_and_an_unknown_profile_are_refused():
    with pytest.raises(DicomError, match="empty"):
        scale_intensity(np.zeros((4, 4), np.uint16), is_monochrome1=False, profile=PUBLISHED)
    with pytest.raises(EngineError, match="published-v1"):
        scale_intensity(np.ones((4, 4), np.uint16), is_monochrome1=False, profile="other-v1")
