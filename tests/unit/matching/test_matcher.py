"""Matching: fusion modes, scores, caches, threads."""

import copy
import dataclasses
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tolerances import EMBEDDING

from alta_sdk import Engine, EngineError, Label, Matcher, PromptError, RuntimeUnavailable, Slot, Study, StudyError
from alta_sdk.study.study import Radiograph


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 256, (260 + 20 * i, 300), dtype=np.uint8) for i in range(3)]
    return Study.from_images(images[0], lateral=images[1], prior_frontal=images[2])


def test_embedding_has_unit_length_and_says_its_mode(matcher, study):
    embedding = matcher.embed(study)
    assert embedding.vector.shape == (128,)
    assert embedding.vector.dtype == np.float32
    assert embedding.mode == "frontal"
    np.testing.assert_allclose(np.linalg.norm(embedding.vector), 1, atol=1e-6)


def test_fusion_modes_are_what_the_design_says(bundle, study):
    engine = Engine.open(bundle)
    cls = {slot: engine.encode_radiograph(study.radiographs[slot], slot) for slot in study.slots}
    present = np.mean(list(cls.values()), axis=0)
    all_four = np.mean([*cls.values(), engine.head.missing_cls[Slot.PRIOR_LATERAL - 1]], axis=0)
    for mode, fused in {"frontal": cls[Slot.FRONTAL], "present": present, "published": all_four}.items():
        expected = engine.head.project(fused[None])[0]
        vector = Matcher(engine, fusion_mode=mode).embed(study).vector
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), **EMBEDDING)


def test_embeddings_of_two_modes_are_not_compared(bundle, matcher, study):
    other = Matcher(bundle, fusion_mode="present")
    with pytest.raises(EngineError, match="different fusion modes"):
        matcher.embed(study).similarity(other.embed(study))
    with pytest.raises(EngineError, match="another fusion mode"):
        matcher.score(other.embed(study), ["edema"])
    assert matcher.embed(study).similarity(matcher.embed(study)) == pytest.approx(1)


def test_another_intensity_profile_is_refused(matcher):
    radiograph = Radiograph(np.zeros((256, 256), np.uint8), "voi-v1")
    with pytest.raises(EngineError, match="intensity profile"):
        matcher.embed(Study({Slot.FRONTAL: radiograph}))


def test_pair_scores_are_a_softmax_of_two_cosines(matcher, study):
    positive, negative = matcher.score(study, ["There is edema", "There is no edema"])
    scale = matcher.engine.manifest.logit_scale
    for temperature, factor in (("engine", scale), (None, 1.0), (0.5, 2.0)):
        score = matcher.zero_shot(study, ["edema"], temperature=temperature).scores["edema"]
        assert score == pytest.approx(1 / (1 + np.exp(-factor * (positive - negative))), abs=1e-6)


def test_sets_without_negatives_share_one_softmax(matcher, study):
    result = matcher.zero_shot(study, "chexpert5")
    assert sum(result.scores.values()) == pytest.approx(1)
    assert result.scores[result.top] == max(result.scores.values())


def test_prompts_of_a_label_are_averaged_before_the_normalisation(matcher, study):
    prompts = ["mild edema", "the heart size is at the upper limits of normal"]
    mean = matcher.engine.project_prompts(prompts).mean(axis=0)
    cosine = float(matcher.embed(study).vector @ (mean / np.linalg.norm(mean)))
    other = float(matcher.score(study, ["no edema"])[0])
    score = matcher.zero_shot(study, {"x": Label(prompts, ["no edema"])}, temperature=None).scores["x"]
    assert score == pytest.approx(1 / (1 + np.exp(other - cosine)), abs=1e-6)


def test_list_in_list_out_and_paths_are_studies(matcher, radiograph_path):
    results = matcher.zero_shot([radiograph_path, str(radiograph_path)], ["edema"])
    assert [dict(r.scores) for r in results] == [dict(matcher.zero_shot(radiograph_path, ["edema"]).scores)] * 2
    assert len(matcher.embed([radiograph_path])) == 1


def test_provenance_says_what_computed(matcher, study):
    provenance = matcher.zero_shot(study, ["edema"]).as_dict()["provenance"]
    assert provenance["slots"] == ["frontal"]
    assert provenance["engine_sha256"] == matcher.engine.manifest.sha256
    assert "Not for clinical use." in provenance["notices"]


def test_a_prompt_has_the_same_numbers_alone_and_in_company(bundle):
    prompts = [
        f"{size} {kind} edema" for size in ("mild", "small", "large") for kind in ("linear", "trace", "left", "a")
    ]
    together = Engine.open(bundle).project_prompts(prompts)
    alone = np.stack([Engine.open(bundle).project_prompts([prompt])[0] for prompt in prompts])
    np.testing.assert_array_equal(together, alone)


def test_eight_threads_give_the_numbers_of_one(bundle):
    rng = np.random.default_rng(4)
    studies = [Study.from_images(rng.integers(0, 256, (256, 256), dtype=np.uint8)) for _ in range(8)]
    labels = [["edema", "pneumonia"], ["pneumonia", "cardiomegaly"], "rsna", "chexpert5"] * 2
    one = Matcher(bundle)
    expected = [dict(one.zero_shot(study, names).scores) for study, names in zip(studies, labels, strict=True)]
    shared = Matcher(bundle)
    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            results = list(
                pool.map(lambda pair: dict(shared.zero_shot(*pair).scores), zip(studies, labels, strict=True))
            )
        assert results == expected


def test_what_does_not_exist_is_refused(bundle, matcher):
    with pytest.raises(RuntimeUnavailable, match="runs on: auto, cpu, cuda"):
        Matcher(bundle, device="tpu", runtime="onnxruntime")
    with pytest.raises(RuntimeUnavailable, match="onnxruntime-gpu is not installed"):
        Matcher(bundle, device="cuda")
    with pytest.raises(RuntimeUnavailable, match="onnxruntime"):
        Matcher(bundle, runtime="nosuch")
    with pytest.raises(EngineError, match="frontal, present, published"):
        Matcher(bundle, fusion_mode="mean")
    with pytest.raises(PromptError, match="temperature"):
        matcher.zero_shot([], ["edema"], temperature=-1.0)
    with pytest.raises(PromptError, match="list of phrases"):
        matcher.embed_text("edema")


UNSOUND = {
    "no number": lambda vector: np.full_like(vector, np.nan),
    "one that is none": lambda vector: np.where(np.arange(len(vector)) == 3, np.nan, vector).astype(np.float32),
    "infinite": lambda vector: np.full_like(vector, np.inf),
    "of no length": lambda vector: np.zeros_like(vector),
    "too long": lambda vector: vector * np.float32(1e30),
    "too short": lambda vector: vector[:4],
    "a table": lambda vector: vector[None],
    "integers": lambda vector: (vector * 0 + np.eye(len(vector))[0]).astype(np.int64),
    "a list": lambda vector: vector.tolist(),
    "nothing": lambda vector: None,
}


@pytest.fixture(scope="module")
def few_shot(matcher):
    rng = np.random.default_rng(3)
    levels = [60, 170] * 4
    studies = [Study.from_images(rng.normal(n, 20, (240, 240)).clip(0, 255).astype(np.uint8)) for n in levels]
    return matcher.fit_few_shot("edema", studies[1::2], studies[::2])


@pytest.mark.parametrize("form", UNSOUND)
def test_a_given_embedding_that_is_no_unit_vector_gives_no_number(matcher, study, few_shot, form):
    whole = matcher.embed(study)
    bad = dataclasses.replace(whole, vector=UNSOUND[form](whole.vector))
    for ask in (
        lambda: matcher.embed(bad),
        lambda: matcher.embed([whole, bad]),
        lambda: matcher.score(bad, ["edema"]),
        lambda: matcher.rank(bad, ["there is edema"]),
        lambda: matcher.zero_shot(bad, ["edema"]),
        lambda: matcher.zero_shot([whole, bad], ["edema"]),
        lambda: matcher.fit_few_shot("edema", [bad] * 4, [whole] * 4),
        lambda: few_shot.score(bad),
        lambda: pickle.loads(pickle.dumps(few_shot)).score([whole, bad]),
        lambda: bad.similarity(whole),
        lambda: whole.similarity(bad),
        lambda: bad.similarity(bad),
    ):
        with pytest.raises(EngineError, match="no finite vector of unit length"):
            ask()


def test_a_text_of_no_direction_is_an_error_and_no_rank(bundle, study):
    with Matcher(bundle) as matcher:
        matcher.engine._texts.run = lambda ids, mask: np.zeros((len(ids), matcher.engine._texts._width), np.float32)
        with pytest.raises(EngineError, match="scores are not finite"):
            matcher.rank(study, ["there is edema", "the lungs are clear"])


def test_what_is_no_engine_study_or_option_is_refused_in_one_line(bundle, matcher, study):
    for engine in (None, 3, b"chest.alta", ["chest.alta"]):
        with pytest.raises(EngineError, match="path of its folder"):
            Matcher(engine)
    for threads in ("x", 1.5, True, 0):
        with pytest.raises(RuntimeUnavailable, match="threads must be at least 1"):
            Matcher(bundle, threads=threads)
    for trust in (3, b"key.pub", True):
        with pytest.raises(EngineError, match="trusted key is given by the path"):
            Matcher(bundle, trust=trust)
    for call in (matcher.embed, lambda studies: matcher.zero_shot(studies, ["edema"])):
        for studies in (None, 3, [None]):
            with pytest.raises(StudyError, match="a study is given as"):
                call(studies)
    with pytest.raises(PromptError, match="temperature must be"):
        matcher.zero_shot(study, ["edema"], temperature=True)


@pytest.mark.parametrize("remake", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_matcher_is_neither_copied_nor_pickled(matcher, remake):
    with pytest.raises(EngineError, match="cannot be pickled or copied"):
        remake(matcher)
