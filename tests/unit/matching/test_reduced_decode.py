"""Reduced decoding is a mode of its own: near the whole one, told, and never used with the other's thresholds."""

import numpy as np
import pytest
from fuzz.seeds import chest_header
from pydicom import uid

from alta_sdk import EngineError, Matcher, Study
from alta_sdk.index.embedding import embed_folder
from alta_sdk.index.search import ReportIndex
from alta_sdk.study.geometry import ALTA_GEOMETRY
from alta_sdk.study.key import SiteKey
from alta_sdk.study.lists import StudyEntry
from alta_sdk.study.slots import Slot

HALF = "published-v1+half"
CODINGS = {"lossless": (uid.JPEG2000Lossless, {}), "lossy": (uid.JPEG2000, {"j2k_cr": [10]})}
# Grey values of 255, of what the model sees, and the share of its pixels that move by more than 1; see docs/dicom.md.
# A marker has edges as sharp as pixels. published-v1 divides by the brightest value: where that is a speck of noise,
# details hold a part of it, and the whole picture is brighter without them.
MOST_APART = {"marker": (10, 0.001), "noise": (3, 1.0)}


def make_header(seed=0, sides=(1800, 1760), brightest="marker"):
    """Return a made-up radiograph of 12 bits: soft shades, ribs, a white marker with sharp edges, detector noise."""
    y, x = np.mgrid[0 : sides[0], 0 : sides[1]]
    shades = 1500 + 900 * np.sin(x / 211 + seed) * np.cos(y / 173) + 120 * np.sin(y / 19 + x / 90)
    if brightest == "marker":
        shades[300:381, 271:330] = 4095
    noise = np.random.default_rng(seed).normal(0, 12, shades.shape)
    return chest_header(np.clip(shades + noise, 0, 4095).astype(np.uint16))


def write(path, coding, seed=0, **options):
    header = make_header(seed, **options)
    header.StudyInstanceUID = f"1.2.{seed + 1}"
    if coding:
        syntax, settings = CODINGS[coding]
        header.compress(syntax, generate_instance_uid=False, **settings)
    header.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write(tmp_path_factory.mktemp("half") / "study.dcm", "lossless")


@pytest.fixture(scope="module")
def reduced(bundle):
    return Matcher(bundle, reduced_decode=True)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("brightest", MOST_APART)
def test_what_the_model_sees_is_near_what_it_sees_of_the_whole(coding, brightest, tmp_path):
    path = write(tmp_path / "study.dcm", coding, brightest=brightest)
    whole, half = (Study.from_dicom(path, intensity_profile=one) for one in ("published-v1", HALF))
    grey = [one.radiographs[Slot.FRONTAL].grey_u8 for one in (whole, half)]
    assert grey[0].shape == grey[1].shape  # one pixel grid: heat maps lie where they lay
    assert not np.array_equal(*grey)
    seen = [ALTA_GEOMETRY.to_pixels(one).astype(int) for one in grey]
    apart, (most, share) = np.abs(seen[0] - seen[1]), MOST_APART[brightest]
    assert apart.max() <= most
    assert (apart > 1).mean() <= share


@pytest.mark.parametrize(("coding", "sides"), [(None, (1800, 1760)), ("lossless", (1800, 1759))])
def test_other_codings_and_small_frames_are_read_whole(coding, sides, tmp_path):
    path = write(tmp_path / "study.dcm", coding, sides=sides)
    whole, half = (Study.from_dicom(path, intensity_profile=one) for one in ("published-v1", HALF))
    np.testing.assert_array_equal(whole.radiographs[Slot.FRONTAL].grey_u8, half.radiographs[Slot.FRONTAL].grey_u8)
    assert half.radiographs[Slot.FRONTAL].intensity_profile == HALF  # the rule by which it was read


def test_the_provenance_tells_it_and_what_decoded(matcher, reduced, study):
    whole, half = (one.zero_shot(study, ["edema"]) for one in (matcher, reduced))
    assert whole.provenance["intensity_profile"] == ["published-v1"]
    assert half.provenance["intensity_profile"] == [HALF]
    assert (whole.provenance["fusion_mode"], half.provenance["fusion_mode"]) == ("frontal", "frontal+half")
    assert whole.provenance["decoders"] == half.provenance["decoders"]
    assert "pylibjpeg-openjpeg" in whole.provenance["decoders"]["frontal"]
    assert abs(whole.scores["edema"] - half.scores["edema"]) < 0.05


def test_studies_and_vectors_of_the_one_are_refused_by_the_other(matcher, reduced, study):
    whole, half = (Study.from_dicom(study, intensity_profile=one) for one in ("published-v1", HALF))
    for one, other in ((matcher, half), (reduced, whole), (matcher, reduced.embed(study))):
        with pytest.raises(EngineError, match="another"):
            one.embed(other)
    with pytest.raises(EngineError, match="different fusion modes"):
        matcher.embed(whole).similarity(reduced.embed(half))


def test_thresholds_of_the_one_decide_nothing_of_the_other(bundle, matcher, reduced, study):
    question, other = (one._ask(["edema"], "engine") for one in (matcher, reduced))
    assert set(question.limits) == {"frontal"}
    assert set(other.limits) == {"frontal+half"}
    assert question.bind("edema", "frontal") != other.bind("edema", "frontal+half")


def test_an_index_of_the_one_takes_nothing_of_the_other(bundle, matcher, reduced, study, tmp_path):
    key, out = SiteKey(bytes(32)), tmp_path / "index"
    entries = [StudyEntry((study,))]
    list(embed_folder(reduced, entries, out, key, reduced._load))
    assert ReportIndex.open(out).origin.mode == "frontal+half"
    with pytest.raises(EngineError, match="another engine, fusion mode"):
        list(embed_folder(matcher, entries, out, key, matcher._load))
    with pytest.raises(EngineError, match="another fusion mode"):
        ReportIndex.open(out).search_text("edema", matcher)


def test_only_profiles_that_were_measured_are_read_so(bundle, study):
    for profile in ("voi-v1+half", "minmax-v1+half", "published-v1+half+half", "+half"):
        with pytest.raises(EngineError, match="intensity profile"):
            Study.from_dicom(study, intensity_profile=profile)
    for mode in ("frontal+half", "+half"):
        with pytest.raises(EngineError, match="fusion mode"):
            Matcher(bundle, fusion_mode=mode)
