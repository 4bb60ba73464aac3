"""Geometry: the way from a radiograph's own pixels to the model's."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from alta_sdk import StudyError
from alta_sdk.study.geometry import ALTA_GEOMETRY, PAD_SQUARE, SHORTER_SIDE, Geometry

PADDED = Geometry(PAD_SQUARE, 320, 320, "lanczos", grey_first=False)


def test_the_longer_side_is_rounded_down_and_the_crop_half_to_even():
    assert ALTA_GEOMETRY.resized_shape(1955, 1841) == (271, 256)
    assert ALTA_GEOMETRY.resized_shape(320, 391) == (256, 312)
    assert ALTA_GEOMETRY.crop_offset(271, 256) == (24, 16)
    assert ALTA_GEOMETRY.crop_offset(256, 257) == (16, 16)


def test_equal_colour_channels_give_the_grey_result():
    grey = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
    np.testing.assert_array_equal(ALTA_GEOMETRY.to_pixels(np.stack([grey] * 3, axis=2)), ALTA_GEOMETRY.to_pixels(grey))


def test_resize_is_pillows_bicubic():
    grey = np.random.default_rng(1).integers(0, 256, (512, 512), dtype=np.uint8)
    expected = Image.fromarray(grey).resize((256, 256), Image.Resampling.BICUBIC).crop((16, 16, 240, 240))
    np.testing.assert_array_equal(ALTA_GEOMETRY.to_pixels(grey), np.asarray(expected))


@pytest.mark.parametrize("shape", [(31, 400), (100, 900)])
def test_unusable_shapes_are_refused(shape):
    with pytest.raises(StudyError, match="not a usable image"):
        ALTA_GEOMETRY.to_pixels(np.zeros(shape, np.uint8))


def test_the_longer_side_fills_a_padded_square_and_the_odd_pixel_of_the_border_lies_below_or_right():
    grey = np.full((300, 411), 200, dtype=np.uint8)
    assert PADDED.resized_shape(300, 411) == (233, 320)
    assert PADDED.crop_offset(233, 320) == (-43, 0)
    square = PADDED.to_pixels(grey)
    assert np.flatnonzero(square.any(axis=1)).tolist() == list(range(43, 43 + 233)) and square.any(axis=0).all()
    assert PADDED.resized_shape(411, 300) == (320, 233)
    np.testing.assert_array_equal(PADDED.to_pixels(grey.T), square.T)


def test_the_ratio_of_a_padded_square_is_rounded_first_as_published():
    assert PADDED.resized_shape(77, 77) == (319, 319)
    assert PADDED.crop_offset(319, 319) == (0, 0)
    assert not PADDED.to_pixels(np.full((77, 77), 9, dtype=np.uint8))[-1].any()


def test_twice_the_zoom_is_the_same_view():
    grey = np.zeros((300, 411), dtype=np.uint8)
    grey[100:150, 180:260] = 255
    for geometry in (ALTA_GEOMETRY, PADDED):
        once, twice = geometry.to_pixels(grey), geometry.to_pixels(grey, zoom=2)
        assert twice.shape == (2 * geometry.crop_px, 2 * geometry.crop_px)
        halved = np.asarray(Image.fromarray(twice).reduce(2), dtype=float)
        assert np.abs(halved - once).mean() < 1


def test_colour_is_turned_grey_where_the_geometry_says():
    colour = np.random.default_rng(2).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(colour).convert("L"))
    first, last = (Geometry(SHORTER_SIDE, 512, 448, "bilinear", is_first) for is_first in (True, False))
    np.testing.assert_array_equal(first.to_pixels(colour), first.to_pixels(grey))
    assert not np.array_equal(last.to_pixels(colour), last.to_pixels(grey)), "rounded in another order"


def test_the_border_is_nowhere_on_the_radiograph():
    grid = np.arange(49, dtype=np.float32).reshape(7, 7)
    grid[0, 0] = 99
    mapped = PADDED.map_to_radiograph(grid, 100, 200)
    assert (mapped.min(), mapped.max()) == (7, 41), "the first and the last row of patches are black border"
    assert PADDED.locate_patch(0, 3, 7, 100, 200) is PADDED.locate_patch(6, 3, 7, 100, 200) is None
    assert mapped[PADDED.locate_patch(3, 3, 7, 100, 200)] == grid[3, 3]
    assert mapped[PADDED.locate_peak(grid, 100, 200)] == 41


@pytest.mark.parametrize(
    "changed",
    [{"rule": "stretch"}, {"filter": "nearest"}, {"crop_px": 257}, {"crop_px": 0}, {"rule": PAD_SQUARE}],
)
def test_a_geometry_that_is_not_defined_cannot_be_made(changed):
    with pytest.raises(ValueError, match="geometry"):
        replace(ALTA_GEOMETRY, **changed)
