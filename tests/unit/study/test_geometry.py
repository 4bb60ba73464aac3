"""Geometry: the way from a radiograph's own pixels to the model's."""

import numpy as np
import pytest
from PIL import Image

from alta_sdk import StudyError
from alta_sdk.study.geometry import crop_offset, resized_shape, to_model_pixels


def test_the_longer_side_is_rounded_down_and_the_crop_half_to_even():
    assert resized_shape(1955, 1841) == (271, 256)
    assert resized_shape(320, 391) == (256, 312)
    assert crop_offset(271, 256) == (24, 16)
    assert crop_offset(256, 257) == (16, 16)


def test_equal_colour_channels_give_the_grey_result():
    grey = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
    np.testing.assert_array_equal(to_model_pixels(np.stack([grey] * 3, axis=2)), to_model_pixels(grey))


def test_resize_is_pillows_bicubic():
    grey = np.random.default_rng(1).integers(0, 256, (512, 512), dtype=np.uint8)
    expected = Image.fromarray(grey).resize((256, 256), Image.Resampling.BICUBIC).crop((16, 16, 240, 240))
    np.testing.assert_array_equal(to_model_pixels(grey), np.asarray(expected))


@pytest.mark.parametrize("shape", [(31, 400), (100, 900)])
def test_unusable_shapes_are_refused(shape):
    with pytest.raises(StudyError, match="not a usable image"):
        to_model_pixels(np.zeros(shape, np.uint8))
