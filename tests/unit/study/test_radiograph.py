"""One radiograph: belongs to no engine, and gives each the pixels of its geometry."""

import pickle

import numpy as np
import pytest
from PIL import Image

from alta_sdk import EngineError, Slot, Study, StudyError
from alta_sdk.dicom.intensity import AS_STORED, MINMAX, PROFILES
from alta_sdk.study.geometry import ALTA_GEOMETRY, PAD_SQUARE, SHORTER_SIDE, Geometry
from alta_sdk.study.study import load_study

GEOMETRIES = [
    Geometry(SHORTER_SIDE, 512, 448, "bilinear", grey_first=True),
    Geometry(PAD_SQUARE, 320, 320, "lanczos", grey_first=False),
]


def read(source, **options):
    return Study.from_images(source, **options).radiographs[Slot.FRONTAL]


def test_pixels_are_made_once_for_each_geometry_and_are_read_only(radiograph_path):
    radiograph = read(radiograph_path)
    assert radiograph.pixels_for(ALTA_GEOMETRY) is radiograph.pixels_u8
    for geometry in GEOMETRIES:
        pixels = radiograph.pixels_for(geometry)
        np.testing.assert_array_equal(pixels, geometry.to_pixels(radiograph.grey_u8))
        assert radiograph.pixels_for(geometry) is pixels and not pixels.flags.writeable
        assert pixels.shape == (geometry.crop_px, geometry.crop_px)


def test_what_was_made_is_no_part_of_what_a_radiograph_is(radiograph_path):
    asked, fresh = read(radiograph_path), read(radiograph_path)
    size = len(pickle.dumps(asked))
    asked.pixels_for(GEOMETRIES[0])
    assert asked == fresh and hash(asked) == hash(fresh) and repr(asked) == repr(fresh)
    assert len(pickle.dumps(asked)) == size
    again = pickle.loads(pickle.dumps(asked))
    assert again == fresh and not again.pixels_for(GEOMETRIES[0]).flags.writeable


@pytest.mark.parametrize("suffix", ["array", "jpg", "png"])
def test_minmax_alone_stretches_pictures(radiograph_path, tmp_path, suffix):
    faint = (np.asarray(Image.open(radiograph_path)) // 2 + 40).astype(np.uint8)
    source = faint if suffix == "array" else tmp_path / f"a.{suffix}"
    if suffix != "array":
        Image.fromarray(faint).save(source)
    shown = read(source)
    values = shown.grey_u8.astype(float)
    stretched = ((values - values.min()) / (values.max() - values.min()) * 255).astype(np.uint8)
    for profile in PROFILES:
        one = read(source, intensity_profile=profile)
        np.testing.assert_array_equal(one.grey_u8, stretched if profile == MINMAX else shown.grey_u8)
        assert one.intensity_profile == (MINMAX if profile == MINMAX else AS_STORED)
        if suffix != "array":
            assert load_study(source, intensity_profile=profile).radiographs[Slot.FRONTAL] == one


def test_a_picture_is_judged_as_it_is_shown_not_as_it_is_stretched(radiograph_path):
    flat = (100 + np.asarray(Image.open(radiograph_path)) // 32).astype(np.uint8)
    shown, stretched = read(flat), read(flat, intensity_profile=MINMAX)
    assert stretched.judgement == shown.judgement and "nearly constant" in shown.judgement.doubts[0]
    assert np.ptp(stretched.grey_u8) == 255


def test_a_constant_picture_cannot_be_stretched(tmp_path):
    constant = np.full((240, 240), 77, dtype=np.uint8)
    Image.fromarray(constant).save(tmp_path / "a.png")
    for source in (constant, tmp_path / "a.png"):
        for any_picture in (False, True):
            with pytest.raises(StudyError, match="one value") as caught:
                read(source, intensity_profile=MINMAX, any_picture=any_picture)
            assert caught.type is StudyError, "it is no DICOM file"


def test_an_unknown_profile_is_refused_for_pictures_too(radiograph_path):
    with pytest.raises(EngineError, match="minmax-v1"):
        read(radiograph_path, intensity_profile="other-v1")


@pytest.mark.filterwarnings("ignore:the matrix subclass")  # which numpy itself advises against
def test_an_array_that_is_more_than_its_numbers_is_refused():
    grey = np.random.default_rng(4).integers(0, 256, (80, 70), dtype=np.uint8)
    for array in (np.ma.masked_array(grey, grey > 100), np.asmatrix(grey)):
        with pytest.raises(StudyError, match="plain one"):
            Study.from_images(array)
    assert Study.from_images(grey[::-1]).slots == (Slot.FRONTAL,)
