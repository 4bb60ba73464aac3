"""From a radiograph's pixels to the model's and back, for every shape that is accepted and both rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alta_sdk.study.geometry import (
    ALTA_GEOMETRY,
    MAX_ASPECT,
    MIN_SIDE_PX,
    PAD_SQUARE,
    SHORTER_SIDE,
    Geometry,
)

side_px = st.integers(MIN_SIDE_PX, 700)
sides = st.sampled_from([7, 14])
CROPPED = [
    ALTA_GEOMETRY,
    Geometry(SHORTER_SIDE, 512, 448, "bilinear", grey_first=True),
    Geometry(SHORTER_SIDE, 224, 224, "bicubic", grey_first=False),
]
PADDED = Geometry(PAD_SQUARE, 322, 322, "lanczos", grey_first=False)  # of 7 and 14 patches, each of whole pixels
one_shape = {"shorter": side_px, "more": st.floats(1, MAX_ASPECT), "is_tall": st.booleans()}


def shape_of(shorter, more, is_tall):
    longer = min(int(shorter * more), MAX_ASPECT * shorter)
    return (longer, shorter) if is_tall else (shorter, longer)


def draw_one(data, geometry, side, shape):
    """Choose a patch, and draw it alone on a radiograph of a shape."""
    row, column = (data.draw(st.integers(0, side - 1)) for _ in "rc")
    patches = np.zeros((side, side), dtype=np.float32)
    patches[row, column] = 1
    return (row, column), geometry.map_to_radiograph(patches, *shape)


def see_brightest(geometry, side, mapped):
    """Send what was drawn through the preprocessing again, which is not the inverse's own arithmetic."""
    patch_px = geometry.crop_px // side
    seen = geometry.to_pixels(np.nan_to_num(255 * mapped).astype(np.uint8)).reshape(side, patch_px, side, patch_px)
    means = seen.mean(axis=(1, 3))
    return np.unravel_index(means.argmax(), means.shape)


@pytest.mark.parametrize("geometry", CROPPED, ids=str)
@settings(max_examples=60, deadline=None)
@given(**one_shape, side=sides, data=st.data())
def test_a_patch_that_is_drawn_back_is_seen_where_it_was(geometry, shorter, more, is_tall, side, data):
    height, width = shape_of(shorter, more, is_tall)
    place, mapped = draw_one(data, geometry, side, (height, width))
    assert mapped[geometry.locate_patch(*place, side, height, width)] == 1
    assert see_brightest(geometry, side, mapped) == place


@settings(max_examples=120, deadline=None)
@given(**one_shape, side=sides, data=st.data())
def test_a_patch_of_a_padded_square_is_drawn_where_it_was_and_the_border_nowhere(shorter, more, is_tall, side, data):
    height, width = shape_of(shorter, more, is_tall)
    place, mapped = draw_one(data, PADDED, side, (height, width))
    assert not np.isnan(mapped).any(), "the model sees all of the radiograph"
    found, drawn = PADDED.locate_patch(*place, side, height, width), mapped == 1
    # By the picture itself: what of the square is not border.
    square = PADDED.to_pixels(np.full((height, width), 255, dtype=np.uint8))
    patch_px = PADDED.crop_px // side
    in_patch = square.reshape(side, patch_px, side, patch_px)[place[0], :, place[1]]
    assert (found is None) == (not in_patch.any())
    if found is None:
        assert not drawn.any()
    elif drawn.any():  # a border may leave less of a patch than a pixel's centre
        assert drawn[found]
    if (in_patch > 0).mean() >= 0.5:
        assert see_brightest(PADDED, side, mapped) == place


@pytest.mark.parametrize("geometry", [*CROPPED, PADDED], ids=str)
@settings(max_examples=60, deadline=None)
@given(**one_shape, side=sides, seed=st.integers(0, 1 << 32))
def test_the_peak_is_where_the_map_is_largest(geometry, shorter, more, is_tall, side, seed):
    height, width = shape_of(shorter, more, is_tall)
    seen = geometry.find_seen_patches(side, height, width)
    assert seen.all() or geometry.rule == PAD_SQUARE
    patches = np.random.default_rng(seed).random((side, side), dtype=np.float32) + 2 * ~seen  # a border is not asked
    mapped = geometry.map_to_radiograph(patches.astype(np.float32), height, width)
    peak = geometry.locate_peak(patches, height, width)
    if (mapped == patches[seen].max()).any():
        assert mapped[peak] == np.nanmax(mapped)
    assert np.nanmax(mapped) <= patches[seen].max(), "nothing of the border is drawn"
