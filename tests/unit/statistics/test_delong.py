"""DeLong's variances against a published example, with values that another program printed, and by the definition.

The example is aSAH of the R package pROC (Robin et al., BMC Bioinformatics 2011, 12:77; patients of Turck et al.,
Intensive Care Medicine 2010): outcome, WFNS grade and S100β of 113 patients. The expected values are those that pROC's
own tests hold it to (its `tests/testthat`).
"""

import numpy as np
import pytest
from tolerances import PUBLISHED_FIGURE

from alta_sdk.statistics.delong import compare_aucs, measure_auc_variance

POOR = """
3:0.13 2:0.1 4:0.16 5:0.12 5:0.44 5:0.71 5:0.49 2:0.07 5:0.33 2:0.09 1:0.07 2:0.41 5:0.35 4:0.48 4:0.96 2:0.25
5:0.86 5:0.52 5:2.07 2:0.07 5:0.77 2:0.3 5:0.03 2:0.09 4:0.23 5:0.7 4:0.27 4:0.71 1:0.08 4:0.26 4:0.13 2:0.1 2:0.11
5:0.22 5:0.56 2:0.14 2:0.58 5:0.32 5:0.82 5:0.74 5:0.44
"""
GOOD = """
1:0.13 1:0.14 1:0.1 1:0.04 5:0.47 1:0.18 2:0.1 2:0.1 1:0.04 2:0.08 2:0.04 1:0.09 1:0.11 1:0.07 2:0.17 1:0.07 2:0.11
1:0.13 1:0.19 3:0.05 4:0.16 1:0.14 4:0.34 1:0.09 5:0.5 5:0.46 1:0.16 1:0.07 2:0.43 4:0.45 1:0.11 1:0.08 2:0.09
2:0.08 1:0.06 2:0.13 1:0.1 2:0.14 2:0.15 1:0.06 1:0.05 1:0.09 1:0.04 2:0.09 1:0.08 2:0.16 1:0.09 1:0.08 3:0.33
2:0.11 4:0.28 2:0.07 1:0.1 4:0.32 1:0.07 1:0.05 5:0.24 4:0.38 2:0.1 2:0.15 1:0.08 1:0.14 1:0.1 3:0.07 1:0.04 2:0.19
2:0.15 4:0.47 4:0.17 1:0.15 1:0.5 1:0.48
"""


@pytest.fixture(scope="module")
def example():
    """WFNS, S100β and truth of each patient: (113,)."""
    rows = [[*map(float, cell.split(":")), name == POOR] for name in (POOR, GOOD) for cell in name.split()]
    wfns, s100b, truth = np.array(rows).T
    assert (int(truth.sum()), len(truth)) == (41, 113)
    return wfns, s100b, truth.astype(bool)


def by_definition(scores, truth):
    """The structural components of the paper, pair by pair."""
    positive, negative = scores[truth], scores[~truth]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    return wins.mean(axis=1), wins.mean(axis=0)


def test_variances_are_those_of_the_published_example(example):
    wfns, s100b, truth = example
    first, second = measure_auc_variance(wfns, truth), measure_auc_variance(s100b, truth)
    assert first.auc == pytest.approx(0.823678861788618, abs=PUBLISHED_FIGURE)
    assert first.variance == pytest.approx(0.00146991470882363, abs=PUBLISHED_FIGURE)
    assert second.variance == pytest.approx(0.00266868245717244, abs=PUBLISHED_FIGURE)
    half = 1.959963984540054 * first.variance**0.5
    assert (first.interval.low, first.interval.high) == pytest.approx((first.auc - half, first.auc + half))


def test_the_paired_comparison_is_that_of_the_published_example(example):
    wfns, s100b, truth = example
    found = compare_aucs(wfns, s100b, truth)
    assert found.z == pytest.approx(2.20898359144091, abs=PUBLISHED_FIGURE)
    assert found.p_value == pytest.approx(0.0271757822291882, abs=PUBLISHED_FIGURE)
    limits = (0.0104061769564846, 0.174214419249478)
    assert (found.difference.low, found.difference.high) == pytest.approx(limits, abs=PUBLISHED_FIGURE)
    back = compare_aucs(s100b, wfns, truth)
    assert (back.z, back.p_value) == (-found.z, found.p_value)


@pytest.mark.parametrize("decimals", [1, 9])
def test_variances_are_those_of_the_definition(decimals):
    rng = np.random.default_rng(4)
    truth = rng.permutation(np.arange(90) % 3 == 0)
    one, other = (np.round(rng.normal(size=90) + truth, decimals) for _ in range(2))
    parts = [by_definition(scores, truth) for scores in (one, other)]
    spread = [np.cov(np.stack([part[k] for part in parts])) / len(parts[0][k]) for k in (0, 1)]
    covariance = spread[0] + spread[1]
    assert measure_auc_variance(one, truth).variance == pytest.approx(covariance[0, 0], rel=1e-12)
    difference = parts[0][0].mean() - parts[1][0].mean()
    of_both = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert compare_aucs(one, other, truth).z == pytest.approx(difference / of_both**0.5, rel=1e-12)


def test_equal_scores_differ_by_nothing_and_perfect_ones_have_no_variance():
    truth = np.arange(40) % 2 == 0
    scores = np.random.default_rng(0).normal(size=40)
    same = compare_aucs(scores, scores, truth)
    assert (same.difference.value, same.z, same.p_value) == (0.0, 0.0, 1.0)
    perfect = measure_auc_variance(truth.astype(float), truth)
    assert (perfect.auc, perfect.variance, perfect.interval.low, perfect.interval.high) == (1.0, 0.0, 1.0, 1.0)
    worse = compare_aucs(truth.astype(float), 1.0 - truth, truth)
    assert (worse.difference.value, worse.z, worse.p_value) == (1.0, float("inf"), 0.0)
