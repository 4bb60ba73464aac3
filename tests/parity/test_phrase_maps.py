"""Maps of whole phrases agree with the published code's: read from ALTA_SEEDS_DIR, nothing about them known here."""

import json

import numpy as np
import pytest
from tolerances import FAMILY_VECTORS

from alta_sdk.locate.whole import map_as_published, match_whole, smooth
from alta_sdk.study.geometry import SHORTER_SIDE, Geometry

RESIZE_PX = 512  # as published, of every size of the square


@pytest.fixture(scope="module")
def golden(seeds_dir):
    with np.load(seeds_dir / "biovil" / "golden.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def asked(seeds_dir):
    facts = json.loads((seeds_dir / "biovil" / "golden.json").read_text(encoding="utf-8"))
    return facts["images"].index(facts["map"]["image"]), facts["prompts"].index(facts["map"]["phrase"])


@pytest.fixture(scope="module")
def grid(golden, asked):
    image, phrase = asked
    patches = golden["alone_patches"][image]
    cosines = match_whole(patches.reshape(len(patches), -1).T, golden["text_embedding"][phrase])
    return cosines.reshape(patches.shape[1:])


def test_similarity_of_each_patch(grid, golden):
    np.testing.assert_allclose(grid, golden["map_raw"], rtol=0, atol=FAMILY_VECTORS)


def test_after_the_filter(grid, golden):
    np.testing.assert_allclose(smooth(grid), golden["map_smooth"], rtol=0, atol=FAMILY_VECTORS)


@pytest.mark.parametrize(
    ("key", "interpolation"),
    [("map_image_nearest", "nearest"), ("map_image_odd", "nearest"), ("map_image_bilinear", "bilinear")],
)
def test_on_the_pixels_of_a_radiograph(grid, golden, key, interpolation):
    geometry = Geometry(SHORTER_SIDE, RESIZE_PX, golden["pixels_u8"].shape[-1], "bilinear", grey_first=True)
    drawn = map_as_published(smooth(grid).astype(np.float32), geometry, *golden[key].shape, interpolation)
    np.testing.assert_allclose(drawn, golden[key], rtol=0, atol=FAMILY_VECTORS)  # not a number in the same places
