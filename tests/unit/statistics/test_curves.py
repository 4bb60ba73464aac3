"""Curves, Platt fits, shifts and sample sizes against scikit-learn, SciPy and their definitions."""

import numpy as np
import pytest
from scipy.special import kolmogorov
from scipy.stats import ks_2samp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve
from tolerances import PUBLISHED_FIGURE

from alta_sdk.statistics.auc import compute_auc
from alta_sdk.statistics.curves import measure_average_precision, trace_precision_recall, trace_roc
from alta_sdk.statistics.intervals import measure_proportion
from alta_sdk.statistics.platt import PlattFit, fit_platt, to_log_odds
from alta_sdk.statistics.sample_size import count_for_auc, count_for_share
from alta_sdk.statistics.shift import compute_tail, correct_for_many, measure_shift, measure_stability_index


def make_scores(seed, count=200, decimals=9):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(count) % 4 == 0)
    return 1 / (1 + np.exp(-np.round(rng.normal(size=count) + truth, decimals))), truth


@pytest.mark.parametrize("decimals", [1, 9])
def test_curves_are_those_of_scikit_learn(decimals):
    for seed in range(20):
        scores, truth = make_scores(seed, 60 + 7 * seed, decimals)
        roc = trace_roc(scores, truth)
        expected = roc_curve(truth, scores, drop_intermediate=False)
        for found, right in zip(
            (roc.false_positive_rate, roc.true_positive_rate, roc.thresholds), expected, strict=True
        ):
            np.testing.assert_allclose(found, right, rtol=0, atol=PUBLISHED_FIGURE)
        assert compute_auc(scores, truth) == pytest.approx(roc_auc_score(truth, scores), abs=PUBLISHED_FIGURE)
        area = np.trapezoid(roc.true_positive_rate, roc.false_positive_rate)
        assert area == pytest.approx(compute_auc(scores, truth), abs=PUBLISHED_FIGURE)
        curve = trace_precision_recall(scores, truth)
        precision, recall, thresholds = precision_recall_curve(truth, scores)  # by rising threshold, with a last (1, 0)
        for found, right in ((curve.precision, precision), (curve.recall, recall), (curve.thresholds, thresholds)):
            np.testing.assert_allclose(found, right[::-1][len(right) - len(found) :], rtol=0, atol=PUBLISHED_FIGURE)
        expected = average_precision_score(truth, scores)
        assert curve.average_precision == pytest.approx(expected, abs=PUBLISHED_FIGURE)


def test_without_a_positive_there_is_no_average_precision():
    assert np.isnan(measure_average_precision(np.arange(3.0), np.zeros(3, dtype=bool)))


def test_a_platt_fit_is_the_logistic_regression_of_its_targets():
    scores, truth = make_scores(3, 400)
    fit = fit_platt(scores, truth)
    high, low = (truth.sum() + 1) / (truth.sum() + 2), 1 / ((~truth).sum() + 2)
    odds = np.tile(to_log_odds(scores), 2)[:, None]
    target = np.where(truth, high, low)
    solved = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        odds, np.repeat([1, 0], len(truth)), np.concatenate([target, 1 - target])
    )
    assert (fit.slope, fit.shift) == pytest.approx((solved.coef_[0, 0], solved.intercept_[0]), abs=1e-5)
    assert PlattFit(1.0, 0.0).apply(scores) == pytest.approx(scores)


@pytest.mark.parametrize("scores", [np.repeat([0.0, 1.0], 30), np.repeat([1.0, 0.0], 30), np.full(60, 0.3)])
def test_a_platt_fit_of_separated_or_constant_scores_is_finite(scores):
    said = fit_platt(scores, np.repeat([False, True], 30)).apply(scores)
    assert np.isfinite(said).all() and ((0 < said) & (said < 1)).all()


def test_the_distance_and_its_tail_are_those_of_scipy():
    rng = np.random.default_rng(2)
    for count, by in ((40, 0.0), (300, 0.4), (2000, 0.1)):
        reference, values = np.round(rng.normal(size=500), 2), np.round(rng.normal(size=count) + by, 2)
        shift = measure_shift(reference, values)
        assert shift.distance == pytest.approx(ks_2samp(reference, values).statistic, abs=PUBLISHED_FIGURE)
        tail = kolmogorov(np.sqrt(500 * count / (500 + count)) * shift.distance)
        assert shift.p_value == pytest.approx(tail, abs=PUBLISHED_FIGURE)
    for statistic in np.linspace(0.01, 4, 50):
        assert compute_tail(statistic) == pytest.approx(kolmogorov(statistic), abs=PUBLISHED_FIGURE)


def test_the_stability_index_is_near_what_chance_makes_and_grows_with_a_shift():
    rng = np.random.default_rng(7)
    still = [measure_shift(rng.normal(size=300), rng.normal(size=100)) for _ in range(200)]
    assert np.mean([one.stability_index for one in still]) == pytest.approx(still[0].by_chance, rel=0.15)
    assert np.mean([one.p_value < 0.05 for one in still]) < 0.1
    moved = measure_shift(rng.normal(size=300), rng.normal(size=100) + 1)
    assert moved.stability_index > 0.25 > 10 * moved.p_value
    assert measure_stability_index(np.zeros(50), np.zeros(20)) == (pytest.approx(0.0, abs=0.02), 2)


def test_many_p_values_are_corrected_as_holm_wrote():
    assert correct_for_many([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert correct_for_many([0.9, 0.8]) == [1.0, 1.0] and correct_for_many([]) == []


def test_sample_sizes_reach_the_width_and_no_smaller_ones_do():
    needed = count_for_auc(0.001, 150, 0.1)
    assert 2 * 1.959963984540054 * (0.001 * 150 / needed) ** 0.5 <= 0.1
    assert 2 * 1.959963984540054 * (0.001 * 150 / (needed - 1)) ** 0.5 > 0.1
    for share in (0.5, 0.9, 1.0):
        needed = count_for_share(share, 0.1)
        widths = [(one := measure_proportion(share * n, n)).high - one.low for n in (needed - 1, needed)]
        assert widths[1] <= 0.1 < widths[0]
