"""Studies, results and options are values: they are pickled and copied, and stay what they were."""

import copy
import pickle

import numpy as np
import pytest

from alta_sdk import EngineError, Label, Slot, Study
from alta_sdk.dicom.intensity import GreyOptions
from alta_sdk.matching.operating_point import choose_operating_point
from alta_sdk.matching.thresholds import Decision, ScoreBinding, Threshold
from alta_sdk.study.examination import ReadOptions, SetAside

REMAKES = [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy, copy.copy]


@pytest.fixture(scope="module")
def studies():
    rng = np.random.default_rng(6)
    images = [np.clip(rng.normal(90 + 60 * (n % 2), 30, (240, 240)), 0, 255).astype(np.uint8) for n in range(8)]
    return [Study.from_images(image, prior_frontal=image) for image in images]


@pytest.fixture(params=REMAKES, ids=["pickle", "deepcopy", "copy"])
def remake(request):
    return request.param


def test_results_come_back_equal(matcher, studies, remake):
    one = matcher.zero_shot(studies[0], ["edema", "pneumonia"])
    scores, truth = np.arange(40.0), np.arange(40) >= 20
    point = choose_operating_point(scores, truth)
    for value in (
        one,
        matcher.compare(studies[0], studies[1], ["edema"]),
        matcher.rank(studies[0], ["there is edema", "no edema"]),
        Decision(True, 0.5),
        Threshold(ScoreBinding("edema", "frontal", "0" * 64, 1.0), "youden", None, point),
    ):
        assert remake(value) == value
    assert remake(one).as_dict() == one.as_dict() and remake(one).top == one.top


def test_embeddings_and_heat_maps_come_back_equal(matcher, studies, remake):
    embedding = matcher.embed(studies[0])
    again = remake(embedding)
    np.testing.assert_array_equal(again.vector, embedding.vector)
    assert matcher.zero_shot(again, ["edema"]).scores == matcher.zero_shot(embedding, ["edema"]).scores
    heatmap = matcher.locate(studies[0], "edema")
    drawn = remake(heatmap)
    assert drawn.as_dict() == heatmap.as_dict()
    np.testing.assert_array_equal(drawn.picture(), heatmap.picture())
    for array in (drawn.values, drawn.patches):
        assert not array.flags.writeable


def test_studies_differ_by_their_pixels_and_by_how_they_were_read(studies, remake):
    again = remake(studies[0])
    assert again == studies[0] and again.take_prior() == studies[0].take_prior()
    assert len({again, *studies}) == len(studies)
    assert studies[0] != studies[1] and studies[0] != "study"
    radiograph = studies[0].radiographs[Slot.FRONTAL]
    assert radiograph != "radiograph" and radiograph != studies[0].radiographs[Slot.PRIOR_FRONTAL].grey_u8.sum()
    set_aside = Study(dict(studies[0].radiographs), (SetAside("folder", "file", "not DICOM"),))
    assert remake(set_aside) == set_aside != studies[0]


def test_a_dicom_study_comes_back_equal(make_dicom, remake):
    study = Study.from_dicom(make_dicom())
    assert remake(study) == study and remake(study).explain() == study.explain()


@pytest.mark.parametrize(
    "value", [GreyOptions(), ReadOptions(GreyOptions(), True, False), Label(["a"], ["b"]), EngineError("x")], ids=repr
)
def test_options_and_errors_come_back(value, remake):
    again = remake(value)
    assert type(again) is type(value) and repr(again) == repr(value)


def test_a_few_shot_classifier_keeps_its_matcher_in_a_copy_and_takes_embeddings_when_pickled(matcher, studies):
    fitted = matcher.fit_few_shot("edema", studies[1::2], studies[::2])
    expected = fitted.score(studies)
    for copied in (copy.deepcopy(fitted), copy.copy(fitted)):
        assert copied.score(studies) == expected and copied.provenance == fitted.provenance
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(fitted))))
    assert again.score(matcher.embed(studies)) == expected and again.score(matcher.embed(studies[0])) == expected[0]
    with pytest.raises(EngineError, match="give embeddings"):
        again.score(studies[0])
    other = matcher.embed(studies[0])
    with pytest.raises(EngineError, match="of its engine and mode"):
        again.score(type(other)(other.vector, "present", other.engine))
