"""Figures and intervals against other people's code and published values."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from alta_sdk.statistics.auc import compute_auc
from alta_sdk.statistics.curves import measure_average_precision
from alta_sdk.statistics.intervals import bootstrap, measure_proportion
from alta_sdk.statistics.resampling import bootstrap_auc, bootstrap_auc_difference, bootstrap_average_precision


@pytest.mark.parametrize("decimals", [1, 9])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_an_auc_is_that_of_average_ranks_to_the_last_bit(decimals, kind):
    for seed in range(50):
        rng = np.random.default_rng(seed)
        truth = rng.permutation(np.arange(40 + seed) % 3 == 0)
        scores = np.round(rng.normal(size=len(truth)) + truth, decimals).astype(kind)
        positives, negatives = int(truth.sum()), int((~truth).sum())
        ranks = float(rankdata(scores)[truth].sum())
        assert compute_auc(scores, truth) == (ranks - positives * (positives + 1) / 2) / (positives * negatives)
        assert compute_auc(scores, truth) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)


def test_one_class_has_no_auc():
    assert np.isnan(compute_auc(np.arange(3.0), np.ones(3, dtype=bool)))


def test_rows_of_a_group_are_drawn_together_and_what_cannot_be_measured_is_left_out():
    groups, seen = np.array(["b", "a", "b", "c"]), []

    def measure(rows):
        seen.append(sorted(groups[rows]))
        return float(len(rows)) if len(rows) > 3 else float("nan")

    interval = bootstrap(measure, 4, groups=groups, resamples=200, seed=1)
    assert seen[0] == ["a", "b", "b", "c"] and interval.value == 4
    assert all(drawn.count("b") % 2 == 0 for drawn in seen)
    assert 4 <= interval.low <= interval.high <= 6
    assert str(interval) == f"4.000 ({interval.low:.3f} to {interval.high:.3f})"


def test_wilson_interval_has_the_published_values():
    # Newcombe, Stat. Med. 1998, table I, method 3: 81/263, 15/148, 0/20, 1/29
    for hits, count, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611),
                                   (1, 29, 0.0061, 0.1718)]:  # fmt: skip
        proportion = measure_proportion(hits, count)
        assert (proportion.low, proportion.high) == pytest.approx((low, high), abs=5e-5)
        assert proportion.value == hits / count


def test_an_auc_counts_ties_half():
    truth = np.array([True, True, False, False])
    assert compute_auc(np.array([2.0, 1.0, 1.0, 0.0]), truth) == 0.875


@pytest.mark.parametrize("decimals", [1, 9])
@pytest.mark.parametrize("is_grouped", [False, True])
def test_draws_that_are_counted_give_the_same_intervals(decimals, is_grouped, monkeypatch):
    monkeypatch.setattr("alta_sdk.statistics.resampling.CHUNK", 60 * 700)  # several parts, the last one shorter
    rng = np.random.default_rng(decimals)
    truth = rng.permutation(np.arange(60) % 5 == 0)
    scores, others = (np.round(rng.normal(size=60) + truth, decimals) for _ in range(2))
    groups = rng.integers(0, 40, 60) if is_grouped else None

    def difference(rows):
        return compute_auc(scores[rows], truth[rows]) - compute_auc(others[rows], truth[rows])

    auc = bootstrap(lambda rows: compute_auc(scores[rows], truth[rows]), 60, groups=groups)
    assert bootstrap_auc(scores, truth, groups) == auc
    assert bootstrap_auc_difference(scores, others, truth, groups) == bootstrap(difference, 60, groups=groups)
    found = bootstrap_average_precision(scores, truth, groups)
    slow = bootstrap(lambda rows: measure_average_precision(scores[rows], truth[rows]), 60, groups=groups)
    assert (found.value, found.low, found.high) == pytest.approx((slow.value, slow.low, slow.high), abs=1e-12)
