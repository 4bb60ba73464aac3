"""Bootstrap intervals of figures of ranks, all draws at once: whole patients are drawn, and their rows counted.

The draws are those of `intervals.bootstrap`, and so is an AUC, to the last bit; but a table of a hundred studies takes
a hundredth of a second, which is what lets each subgroup have an interval.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .auc import compute_auc
from .curves import measure_average_precision
from .intervals import MIDDLE, RESAMPLES, Interval

CHUNK = 1 << 21  # counts at once: 16 MB of them
Scores = NDArray[np.floating[Any]]
Truth = NDArray[np.bool_]
Counts = NDArray[np.int64]  # (draws, n): how often each row is in each draw
Floats = NDArray[np.float64]


def bootstrap_auc(scores: Scores, truth: Truth, groups: NDArray[Any] | None = None, seed: int = 0) -> Interval:
    """Return the AUC of scores (n,) for truth (n,) bool; groups: (n,), whose rows are drawn together."""
    return _summarise(compute_auc(scores, truth), weigh_auc(scores, truth), len(truth), groups, seed)


def bootstrap_auc_difference(
    scores: Scores, others: Scores, truth: Truth, groups: NDArray[Any] | None = None, seed: int = 0
) -> Interval:
    """Return the AUC of scores (n,) minus that of others (n,), both measured on the same draws."""
    one, other = weigh_auc(scores, truth), weigh_auc(others, truth)
    difference = compute_auc(scores, truth) - compute_auc(others, truth)
    return _summarise(difference, lambda counts: one(counts) - other(counts), len(truth), groups, seed)


def bootstrap_average_precision(
    scores: Scores, truth: Truth, groups: NDArray[Any] | None = None, seed: int = 0
) -> Interval:
    """Return the average precision of scores (n,) for truth (n,) bool."""
    value = measure_average_precision(scores, truth)
    return _summarise(value, weigh_average_precision(scores, truth), len(truth), groups, seed)


def weigh_auc(scores: Scores, truth: Truth) -> Callable[[Counts], Floats]:
    """Return what gives the AUC of each draw: (draws,); not a number where a draw has one class."""
    split = _split_by_level(scores, truth)

    def measure(counts: Counts) -> Floats:
        hits, others = split(counts)
        below = np.cumsum(others, axis=1) - others
        wins = (hits * (2 * below + others)).sum(axis=1)
        return _divide(wins, 2 * hits.sum(axis=1) * others.sum(axis=1))

    return measure


def weigh_average_precision(scores: Scores, truth: Truth) -> Callable[[Counts], Floats]:
    """Return what gives the average precision of each draw: (draws,); not a number without a positive."""
    split = _split_by_level(-np.asarray(scores), truth)

    def measure(counts: Counts) -> Floats:
        hits, others = split(counts)
        from_here = np.cumsum(hits, axis=1)
        precision = _divide(from_here, from_here + np.cumsum(others, axis=1))
        return _divide((hits * np.nan_to_num(precision)).sum(axis=1), from_here[:, -1])

    return measure


def draw_counts(count: int, groups: NDArray[Any] | None, resamples: int, seed: int) -> Iterator[Counts]:
    """Yield how often each of `count` rows is in each draw, some draws at a time: (draws, count)."""
    group_of = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    size = int(group_of.max()) + 1
    generator = np.random.default_rng(seed)
    step = max(1, CHUNK // count)
    for start in range(0, resamples, step):
        draws = min(step, resamples - start)
        drawn = generator.integers(0, size, (draws, size)) + size * np.arange(draws)[:, None]
        yield np.bincount(drawn.ravel(), minlength=draws * size).reshape(draws, size)[:, group_of]


def _split_by_level(scores: Scores, truth: Truth) -> Callable[[Counts], tuple[Counts, Counts]]:
    """Return what counts positives and negatives at each level of the scores, rising: (draws, levels) both."""
    order = np.argsort(scores, kind="stable")
    starts = np.unique(np.asarray(scores)[order], return_index=True)[1]
    positive = truth[order]

    def split(counts: Counts) -> tuple[Counts, Counts]:
        ordered = counts[:, order]
        hits = np.add.reduceat(ordered * positive, starts, axis=1)
        return hits, np.add.reduceat(ordered * ~positive, starts, axis=1)

    return split


def _summarise(
    value: float, measure: Callable[[Counts], Floats], count: int, groups: NDArray[Any] | None, seed: int
) -> Interval:
    drawn = np.concatenate([measure(counts) for counts in draw_counts(count, groups, RESAMPLES, seed)])
    if np.isnan(drawn).all():
        return Interval(value, float("nan"), float("nan"))
    low, high = np.nanquantile(drawn, MIDDLE)
    return Interval(value, float(low), float(high))


def _divide(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    shares: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return shares
