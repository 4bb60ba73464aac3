"""From a radiograph's pixels to the model's and back, for every shape that is accepted."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alta_sdk.study.geometry import CROP_PX, MAX_ASPECT, MIN_SIDE_PX, locate_patch, map_to_radiograph, to_model_pixels

side_px = st.integers(MIN_SIDE_PX, 700)
sides = st.sampled_from([7, 14])


@settings(max_examples=60, deadline=None)
@given(shorter=side_px, more=st.floats(1, MAX_ASPECT), is_tall=st.booleans(), side=sides, data=st.data())
def test_a_patch_that_is_drawn_back_is_seen_where_it_was(shorter, more, is_tall, side, data):
    longer = min(int(shorter * more), MAX_ASPECT * shorter)
    height, width = (longer, shorter) if is_tall else (shorter, longer)
    row, column = (data.draw(st.integers(0, side - 1)) for _ in "rc")
    patches = np.zeros((side, side), dtype=np.float32)
    patches[row, column] = 1
    mapped = map_to_radiograph(patches, height, width)
    assert mapped[locate_patch(row, column, side, height, width)] == 1
    # Not the inverse's own arithmetic: what was drawn goes through the preprocessing again.
    seen = to_model_pixels(np.nan_to_num(255 * mapped).astype(np.uint8)).reshape(
        side, CROP_PX // side, side, CROP_PX // side
    )
    means = seen.mean(axis=(1, 3))
    assert np.unravel_index(means.argmax(), means.shape) == (row, column)
