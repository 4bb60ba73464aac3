"""Comparing a study with an earlier one: like with like."""

import json

import numpy as np
import pytest

from alta_sdk import Engine, EngineError, Matcher, Slot, Study, StudyError, ViewError

LABELS = ["edema", "pneumonia"]


@pytest.fixture(scope="module")
def images():
    return [np.random.default_rng(seed).integers(0, 256, (260, 250), dtype=np.uint8) for seed in range(4)]


def test_both_studies_are_scored_as_current_ones(matcher, images):
    current, prior = Study.from_images(images[0]), Study.from_images(images[1])
    comparison = matcher.compare(current, prior, LABELS)
    assert comparison.current == matcher.zero_shot(current, LABELS).scores
    assert comparison.prior == matcher.zero_shot(prior, LABELS).scores
    assert comparison.change == {name: comparison.current[name] - comparison.prior[name] for name in LABELS}
    plain = json.loads(json.dumps(comparison.as_dict()))
    assert plain["provenance"]["slots"] == ["frontal"]


@pytest.mark.parametrize("mode", ["present", "published"])
def test_a_study_has_not_changed_against_itself_whatever_else_it_holds(bundle, images, mode):
    matcher = Matcher(bundle, fusion_mode=mode)
    full, alone = Study.from_images(*images), Study.from_images(images[0])
    comparison = matcher.compare(full, alone, LABELS)
    assert set(comparison.change.values()) == {0.0}
    assert comparison.provenance["slots"] == ["frontal"]
    with_lateral = matcher.compare(full, Study.from_images(images[2], lateral=images[3]), LABELS)
    assert with_lateral.provenance["slots"] == ["frontal", "lateral"]


def test_the_prior_of_a_study_is_a_study(images):
    prior = Study.from_images(*images).take_prior()
    np.testing.assert_array_equal(prior.radiographs[Slot.LATERAL].grey_u8, images[3])
    with pytest.raises(ViewError):
        prior.take_prior()


def test_dicom_paths_are_checked_for_patient_and_order(matcher, make_dicom):
    now, before = make_dicom("now.dcm"), make_dicom("before.dcm", StudyDate="20230101", StudyInstanceUID="1.9")
    assert set(matcher.compare(now, before, LABELS).change) == set(LABELS)
    with pytest.raises(StudyError, match="not earlier"):
        matcher.compare(before, now, LABELS)
    with pytest.raises(StudyError, match="same patient"):
        matcher.compare(now, make_dicom("other.dcm", StudyDate="20230101", PatientID="P2"), LABELS)


def test_images_are_compared_as_they_are(matcher, radiograph_path, make_dicom):
    comparison = matcher.compare(radiograph_path, make_dicom(), LABELS)
    assert comparison.provenance["intensity_profile"] == ["as-stored", "published-v1"]


def test_a_study_read_with_another_profile_is_refused(bundle, images):
    matcher = Matcher(Engine.open(bundle))
    other = Study({Slot.FRONTAL: type(Study.from_images(images[0]).radiographs[Slot.FRONTAL])(images[0], "voi-v1")})
    with pytest.raises(EngineError, match="intensity profile"):
        matcher.compare(other, Study.from_images(images[1]), LABELS)
