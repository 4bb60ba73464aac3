"""The variance of an AUC, and of the difference of two on the same studies, by DeLong's method.

Each positive has a placement: the share of negatives below it, ties counting half; each negative likewise. The
variance of an AUC is that of the mean placement of both classes. It takes studies to be independent: where patients
have several, it is too small, and the bootstrap by patient is the one to read.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .auc import compute_auc
from .intervals import Z_95, Interval

Scores = NDArray[np.floating[Any]]
Truth = NDArray[np.bool_]
Placements = NDArray[np.float64]
MIN_PER_CLASS = 2  # a class of one has no variance


@dataclass(frozen=True)
class AucVariance:
    """An AUC, its variance, and its 95 % interval on the normal scale, cut at 0 and 1."""

    auc: float
    variance: float
    interval: Interval


@dataclass(frozen=True)
class AucDifference:
    """The first AUC minus the second with its 95 % interval, the z statistic and the two-sided p value.

    Where the difference has no variance z is 0 if there is none, otherwise infinite.
    """

    difference: Interval
    z: float
    p_value: float


def measure_auc_variance(scores: Scores, truth: Truth) -> AucVariance:
    """Return the AUC of scores (n,) for truth (n,) bool with its variance; needs two of each class.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 1988; the ranks as in Sun and Xu, IEEE SPL 2014.
    """
    auc, variance = compute_auc(scores, truth), _estimate_variance(*_place(scores, truth))
    return AucVariance(auc, variance, _around(auc, variance, 0.0))


def compare_aucs(scores: Scores, others: Scores, truth: Truth) -> AucDifference:
    """Compare the AUCs of two scores (n,) of the same studies; needs two of each class. Source: as above."""
    difference = compute_auc(scores, truth) - compute_auc(others, truth)
    # The variance of the differences of placements: the two variances less twice their covariance.
    pairs = zip(_place(scores, truth), _place(others, truth), strict=True)
    variance = _estimate_variance(*(one - other for one, other in pairs))
    if variance:
        z = difference / math.sqrt(variance)
    else:
        z = math.copysign(math.inf, difference) if difference else 0.0
    return AucDifference(_around(difference, variance, -1.0), z, math.erfc(abs(z) / math.sqrt(2)))


def _around(value: float, variance: float, least: float) -> Interval:
    half = Z_95 * math.sqrt(variance)
    return Interval(value, max(least, value - half), min(1.0, value + half))


def _estimate_variance(of_positives: Placements, of_negatives: Placements) -> float:
    return sum(float(np.var(part, ddof=1)) / len(part) for part in (of_positives, of_negatives))


def _place(scores: Scores, truth: Truth) -> tuple[Placements, Placements]:
    """Return the share of negatives below each positive, and of positives above each negative, ties half."""
    positive, negative = (np.asarray(scores[part], dtype=np.float64) for part in (truth, ~truth))
    return _share_below(positive, negative), 1 - _share_below(negative, positive)


def _share_below(values: Placements, others: Placements) -> Placements:
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    share: Placements = below / (2 * len(others))
    return share
