"""Few-shot learning: it learns what is there, leaves each study out of its own score, and refuses too few."""

import numpy as np
import pytest

from alta_sdk import CalibrationError, Label, PromptError, Study
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.matching.few_shot import fit_vectors
from alta_sdk.statistics.auc import compute_auc

DIRECTION = np.eye(32)[0]


def make_vectors(count, sign, seed, spread=0.2, apart=0.3):
    noise = np.random.default_rng(seed).standard_normal((count, 32)) * spread
    return to_unit_length(np.eye(32)[1] + sign * apart * DIRECTION + noise)


def make_text(angle):
    """Prompts whose difference has the cosine `angle` with what really tells the classes apart."""
    difference = angle * DIRECTION + np.sqrt(1 - angle**2) * np.eye(32)[2]
    return [to_unit_length(np.eye(32)[3] + sign * difference).astype(np.float32) for sign in (0.2, -0.2)]


def measure(weight, angle, seed=0):
    fit = fit_vectors(*make_text(angle), make_vectors(8, 1, seed + 10), make_vectors(8, -1, seed + 100), weight)
    test = np.concatenate([make_vectors(500, 1, 7), make_vectors(500, -1, 8)])
    return compute_auc(test @ fit.direction, np.repeat([True, False], 500)), fit, test


def test_examples_help_a_text_that_says_little_and_a_good_text_helps_few_examples():
    seeds = range(10)
    weak = [[measure(weight, 0.2, seed)[0] for weight in (0.0, 0.5)] for seed in seeds]
    good = [[measure(weight, 0.9, seed)[0] for weight in (1.0, 0.5)] for seed in seeds]
    assert np.mean(weak, axis=0)[1] > np.mean(weak, axis=0)[0] + 0.05
    assert np.mean(good, axis=0)[1] > np.mean(good, axis=0)[0] + 0.02


def test_scores_lie_between_0_and_1_and_half_is_the_middle():
    _, fit, test = measure(0.5, 0.9)
    scores = fit.score_vectors(test)
    assert 0 < scores.min() < scores.max() < 1
    assert scores[:500].mean() > 0.6 and scores[500:].mean() < 0.4


def test_noise_does_not_look_learned():
    """Without leaving each study out of its prototype, the separation of noise in 32 dimensions is 1."""
    found = []
    for seed in range(40):
        parts = make_vectors(8, 0, seed), make_vectors(8, 0, seed + 500)
        found.append(fit_vectors(*make_text(0.5), *parts, 1.0).separation)
    assert np.median(found) < 0.6


def make_studies(count, level, seed):
    rng = np.random.default_rng(seed)
    images = (rng.integers(0, 60, (count, 230, 230)) + level).astype(np.uint8)
    return [Study.from_images(image) for image in images]


def test_the_matcher_learns_bright_from_dark(matcher):
    classifier = matcher.fit_few_shot("pneumonia", make_studies(5, 150, 0), make_studies(5, 10, 1))
    bright, dark = (classifier.score(make_studies(3, level, 2)) for level in (150, 10))
    assert min(bright) > max(dark)
    assert classifier.score(make_studies(1, 150, 2)[0]) == bright[0]
    assert classifier.provenance["positives"] == 5 and classifier.provenance["fusion_mode"] == "frontal"


def test_too_few_or_one_kind_alone_is_refused(matcher):
    studies = make_studies(4, 10, 0)
    for positives, negatives in ((studies[:3], studies), (studies, []), ([], studies)):
        with pytest.raises(CalibrationError, match="needs 4 of each"):
            matcher.fit_few_shot("pneumonia", positives, negatives)
    with pytest.raises(CalibrationError, match="do not separate"):
        matcher.fit_few_shot("pneumonia", studies[:1] * 4, studies[:1] * 4)
    with pytest.raises(PromptError, match="negative prompts"):
        matcher.fit_few_shot(Label(["There is pneumonia"]), studies, studies)
