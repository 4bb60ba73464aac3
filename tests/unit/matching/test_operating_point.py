"""Thresholds on known scores: the target is met, the intervals hold, nonsense is refused."""

import math

import numpy as np
import pytest

from alta_sdk import CalibrationError
from alta_sdk.matching.operating_point import choose_operating_point


def make_scores(positives=60, negatives=100, seed=0, apart=1.5):
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(apart, 1, positives), rng.normal(0, 1, negatives)])
    return scores, np.repeat([True, False], [positives, negatives])


def share(scores, truth, threshold):
    said = scores >= threshold
    return said[truth].mean(), (~said[~truth]).mean()


@pytest.mark.parametrize("seed", range(5))
def test_sensitivity_is_reached_with_the_highest_threshold(seed):
    scores, truth = make_scores(seed=seed)
    point = choose_operating_point(scores, truth, "sensitivity", 0.9)
    assert share(scores, truth, point.threshold) == (point.sensitivity.value, point.specificity.value)
    assert point.sensitivity.value >= 0.9
    higher = np.sort(scores[scores >= point.threshold])[0] + 1e-9
    assert share(scores, truth, higher)[0] < 0.9 or not truth[scores == higher - 1e-9].any()
    assert point.low <= point.threshold <= point.high


@pytest.mark.parametrize("seed", range(5))
def test_specificity_is_reached_with_the_lowest_threshold(seed):
    scores, truth = make_scores(seed=seed)
    point = choose_operating_point(scores, truth, "specificity", 0.95)
    assert point.specificity.value >= 0.95
    lower = np.sort(scores[scores < point.threshold])[-1]
    assert share(scores, truth, lower)[1] < 0.95


def test_youden_is_the_best_sum_of_all_thresholds():
    scores, truth = make_scores()
    point = choose_operating_point(scores, truth)
    best = max(sum(share(scores, truth, score)) for score in scores)
    assert point.sensitivity.value + point.specificity.value == pytest.approx(best)


def test_classes_that_are_apart_get_a_threshold_between_them():
    scores, truth = np.repeat([0.9, 0.1], 20), np.repeat([True, False], 20)
    for target in (("youden", None), ("sensitivity", 0.95), ("specificity", 0.95)):
        point = choose_operating_point(scores, truth, *target)
        assert point.threshold == pytest.approx(0.5)
        assert (point.sensitivity.value, point.specificity.value) == (1, 1)
        assert point.sensitivity.low < 0.9, "twenty studies cannot promise more"


@pytest.mark.parametrize(
    "arguments",
    [
        ("sensitivity", None),
        ("youden", 0.9),
        ("best", None),
        ("sensitivity", 1.0),
        ("sensitivity", math.nan),
        ("sensitivity", 0.99),
        ("specificity", 0.999),
    ],
)
def test_a_target_that_cannot_be_told_is_refused(arguments):
    with pytest.raises(CalibrationError):
        choose_operating_point(*make_scores(), *arguments)


def test_too_few_one_class_and_no_separation_are_refused():
    for counts in ((19, 100), (100, 19), (0, 100), (100, 0)):
        with pytest.raises(CalibrationError, match="needs 20 of each"):
            choose_operating_point(*make_scores(*counts))
    scores, truth = make_scores()
    for wrong in (-scores, np.zeros(len(scores)), np.where(truth, np.nan, scores)):
        with pytest.raises(CalibrationError, match="separate|finite"):
            choose_operating_point(wrong, truth)


def test_studies_of_one_patient_are_drawn_together():
    rng = np.random.default_rng(2)
    truth = np.repeat(rng.permutation(np.arange(60) % 2 == 0), 4)
    scores = np.repeat(rng.normal(size=60), 4) + truth
    alone = choose_operating_point(scores, truth)
    grouped = choose_operating_point(scores, truth, patients=np.arange(240) // 4)
    assert grouped.threshold == alone.threshold and grouped.sensitivity == alone.sensitivity
    assert (grouped.low, grouped.high) != (alone.low, alone.high)
    assert grouped.low <= grouped.threshold <= grouped.high
