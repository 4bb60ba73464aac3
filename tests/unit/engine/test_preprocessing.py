"""The manifest's preprocessing section: the geometry that an engine's radiographs are brought to."""

import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest

from alta_sdk import Engine, IntegrityError, Slot, Study
from alta_sdk.engine.bundle import read_manifest
from alta_sdk.engine.preprocessing import describe_geometry
from alta_sdk.study.geometry import ALTA_GEOMETRY, PAD_SQUARE, SHORTER_SIDE, Geometry


@pytest.fixture
def state(bundle, tmp_path):
    """Copy the test engine with something else, or nothing, in the place of its geometry."""

    def copy(geometry=None):
        folder = shutil.copytree(bundle, tmp_path / "copy.alta", dirs_exist_ok=True)
        manifest = read_manifest(folder)
        kept = {key: value for key, value in manifest.preprocessing.items() if key != "geometry"}
        section = kept if geometry is None else {**kept, "geometry": geometry}
        (folder / "manifest.json").write_bytes(replace(manifest, preprocessing=section).render())
        return folder

    return copy


def test_an_export_states_its_geometry(bundle):
    manifest = read_manifest(bundle)
    assert manifest.preprocessing["geometry"] == asdict(ALTA_GEOMETRY) == describe_geometry(ALTA_GEOMETRY)["geometry"]
    assert manifest.geometry == ALTA_GEOMETRY


def test_a_manifest_that_says_nothing_means_altas(bundle, state, radiograph_path):
    radiographs = Study.from_images(radiograph_path).radiographs
    silent, stating = Engine.open(state()), Engine.open(bundle)
    assert silent.geometry == stating.geometry == ALTA_GEOMETRY
    vectors = [engine.encode_radiographs(radiographs)[Slot.FRONTAL] for engine in (silent, stating)]
    np.testing.assert_array_equal(*vectors)


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry(SHORTER_SIDE, 300, 224, "bilinear", grey_first=True),
        Geometry(PAD_SQUARE, 224, 224, "lanczos", grey_first=False),
    ],
    ids=str,
)
def test_radiographs_go_through_the_geometry_that_the_manifest_states(state, geometry):
    engine = Engine.open(state(asdict(geometry)))
    picture = np.random.default_rng(4).integers(0, 256, (300, 420), dtype=np.uint8)
    study = Study.from_images(picture)
    pixels = geometry.to_pixels(picture)[None, None]
    assert not np.array_equal(pixels[0, 0], study.radiographs[Slot.FRONTAL].pixels_u8)
    expected = engine.encode_pixels(pixels, np.zeros(1, dtype=np.int64))[0]
    np.testing.assert_array_equal(engine.encode_radiographs(study.radiographs)[Slot.FRONTAL], expected)


@pytest.mark.parametrize(
    "changed",
    [
        {"rule": "stretch"},
        {"rule": PAD_SQUARE},  # whose square would not be filled
        {"filter": "nearest"},
        {"crop_px": 300},
        {"resize_px": 1 << 20},
        {"grey_first": 1},
        {"more": 1},
    ],
    ids=str,
)
def test_a_geometry_that_is_not_defined_is_refused(state, changed):
    with pytest.raises(IntegrityError, match="geometry"):
        Engine.open(state({**asdict(ALTA_GEOMETRY), **changed}))


def test_a_self_test_of_another_size_than_the_geometrys_is_refused(state):
    with pytest.raises(IntegrityError, match="another shape"):
        Engine.open(state(asdict(replace(ALTA_GEOMETRY, crop_px=208))))
