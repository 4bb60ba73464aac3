"""Maps of whole phrases: the filter is scipy's, and a map is drawn where its engine's patches lie."""

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.ndimage import gaussian_filter

from alta_sdk import Matcher, Slot, Study, ViewError
from alta_sdk.cli import main
from alta_sdk.dicom.intensity import MINMAX
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.locate.whole import map_as_published, match_whole, smooth
from alta_sdk.study.geometry import SHORTER_SIDE, Geometry


def make_image(seed, shape=(90, 80)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def make_study(frontal, prior=None):
    return Study.from_images(frontal, prior_frontal=prior, any_picture=True, intensity_profile=MINMAX)


@pytest.fixture(scope="module")
def matcher(follow_up_bundle):
    with Matcher(follow_up_bundle, runtime="onnxruntime", threads=1) as opened:
        yield opened


@pytest.mark.parametrize("shape", [(14, 14), (15, 15), (3, 20), (1, 1), (2, 5)])
@pytest.mark.parametrize("sigma", [0.7, 1.5, 2.4])
def test_the_filter_is_scipys(shape, sigma):
    grid = np.random.default_rng(1).standard_normal(shape)
    np.testing.assert_allclose(smooth(grid, sigma), gaussian_filter(grid, sigma), rtol=0, atol=1e-14)


def test_similarity_is_the_cosine_of_patch_and_phrase():
    patches = np.random.default_rng(2).standard_normal((9, 5)).astype(np.float32)
    phrase = to_unit_length(np.ones(5))
    expected = patches @ phrase / np.linalg.norm(patches, axis=1)
    np.testing.assert_allclose(match_whole(patches, phrase), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(320, 320), (397, 501), (64, 500), (33, 40)])
def test_a_map_covers_a_square_in_the_middle(shape):
    geometry = Geometry(SHORTER_SIDE, 512, 448, "bilinear", grey_first=True)
    grid = np.arange(196, dtype=np.float32).reshape(14, 14)
    drawn, by_centre = map_as_published(grid, geometry, *shape), geometry.map_to_radiograph(grid, *shape)
    side = int(448 * min(shape) / 512)
    seen = np.isfinite(drawn)
    assert seen.sum() == side**2 and seen[seen.any(1)][:, seen.any(0)].all()
    both = seen & np.isfinite(by_centre)
    assert (drawn[both] == by_centre[both]).mean() > 1 - 4 * 14 / side, "but for pixels where two patches meet"


def test_a_heat_map_of_the_phrase_alone_and_beside_the_prior(matcher):
    images = make_image(1), make_image(2)
    alone, beside = (matcher.locate(make_study(*given), "edema") for given in (images[:1], images))
    assert not np.allclose(alone.patches, beside.patches), "the patches know the prior"
    for heatmap, mode, slots in ((alone, "frontal", ["frontal"]), (beside, "prior", ["frontal", "prior_frontal"])):
        told = heatmap.provenance
        assert (told["fusion_mode"], told["slots"], told["patch_match"]) == (mode, slots, "phrase")
        assert heatmap.local_score == pytest.approx(heatmap.limits[1])
        assert heatmap.values[heatmap.peak] == heatmap.patches.max()
        assert heatmap.values.shape == images[0].shape and np.isnan(heatmap.values[0]).all()
        assert "edema" not in str(heatmap.as_dict())
        assert heatmap.picture().shape[2] == 3
    radiographs = make_study(*images).radiographs
    pair = radiographs[Slot.FRONTAL], radiographs[Slot.PRIOR_FRONTAL]
    patches = matcher.engine.encode_patches(pair[0], Slot.FRONTAL, pair[1])
    cosines = match_whole(patches, matcher.embed_text(["edema"])[0]).reshape(14, 14)
    np.testing.assert_allclose(beside.patches, gaussian_filter(cosines, 1.5), atol=1e-6)
    assert beside.score == pytest.approx(matcher.score(make_study(*images), ["edema"])[0])
    # A family whose projection is the mean of its patches.
    np.testing.assert_allclose(patches.mean(axis=0), matcher.engine.encode_with_prior(*pair), atol=1e-5)


def test_the_prior_is_drawn_on_as_a_study_of_its_own(matcher, follow_up_bundle):
    study = make_study(make_image(1), make_image(2))
    with pytest.raises(ViewError, match="as one of its own"):
        matcher.locate(study, "edema", slot=Slot.PRIOR_FRONTAL)
    assert matcher.locate(study.take_prior(), "edema").provenance["slots"] == ["frontal"]
    with (
        Matcher(follow_up_bundle, fusion_mode="frontal") as frontal,
        pytest.raises(ViewError, match="fusion mode frontal reads frontal"),
    ):
        frontal.locate(study, "edema", slot=Slot.PRIOR_FRONTAL)


def test_the_command_says_what_its_scores_are(follow_up_bundle, tmp_path, radiograph_path):
    given = ["locate", str(radiograph_path), "--phrase", "edema", "--engine", str(follow_up_bundle)]
    done = CliRunner().invoke(main, [*given, "--output", str(tmp_path / "heat.png")])
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "heat.png").exists()
    assert "family biovil-t" in done.stdout and "most similar place" in done.stdout
