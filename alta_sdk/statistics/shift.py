"""Has a distribution moved? Population stability index and the two-sample Kolmogorov-Smirnov test.

Both look at numbers alone, without truth. The index says how much, but a few numbers make it large by chance; the test
says whether chance explains it, but of very many numbers it tells shifts that nobody minds. So both are given.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
TERMS = 100
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """How far `count` numbers lie from `reference_count` earlier ones.

    stability_index: 0 for none. by_chance: what the index is on average if nothing moved.
    distance: the largest difference of both cumulative shares. p_value: of the test.
    """

    reference_count: int
    count: int
    stability_index: float
    by_chance: float
    distance: float
    p_value: float


def measure_shift(reference: Floats, values: Floats, reference_count: int | None = None) -> Shift:
    """Compare values (m,) with a reference (n,).

    reference_count: of how many numbers the reference is, where it is given by evenly spread quantiles of them.
    Source of the test: Kolmogorov 1933, Smirnov 1948, with the limiting distribution.
    """
    count, known = len(values), reference_count or len(reference)
    distance = measure_distance(reference, values)
    effective = known * count / (known + count)
    index, bins = measure_stability_index(reference, values)
    by_chance = (bins - 1) * (1 / known + 1 / count)  # twice the mean of half a chi-square: its expectation
    return Shift(known, count, index, by_chance, distance, compute_tail(math.sqrt(effective) * distance))


def measure_stability_index(reference: Floats, values: Floats) -> tuple[float, int]:
    """Return the population stability index, and the number of bins: tenths of the reference, fewer where it has ties.

    Σ (a - b) ln(a / b) over the bins' shares; half a number is added to each bin, so that none is empty.
    Source: Siddiqi, Credit Risk Scorecards, 2006.
    """
    edges = np.unique(np.quantile(reference, np.arange(1, BINS) / BINS))
    bins = len(edges) + 1
    shares = [
        (np.bincount(np.searchsorted(edges, part, "left"), minlength=bins) + 0.5) / (len(part) + bins / 2)
        for part in (reference, values)
    ]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0]))), bins


def measure_distance(reference: Floats, values: Floats) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples."""
    levels = np.concatenate([reference, values])
    shares = [np.searchsorted(np.sort(part), levels, "right") / len(part) for part in (reference, values)]
    return float(np.abs(shares[0] - shares[1]).max())


def compute_tail(statistic: float) -> float:
    """Return how often chance alone exceeds a statistic, by Kolmogorov's limiting distribution."""
    if statistic < 0.2:  # the series below converges slowly there, and this is 1 to 12 digits
        return 1.0
    terms = [(-1) ** (k - 1) * math.exp(-2 * (k * statistic) ** 2) for k in range(1, TERMS + 1)]
    return min(1.0, max(0.0, 2 * math.fsum(terms)))


def correct_for_many(p_values: Sequence[float]) -> list[float]:
    """Return p values as they are among others: Holm's step-down correction, each at least the smaller ones.

    Source: Holm, Scandinavian Journal of Statistics 1979.
    """
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[number]))
        corrected[number] = largest
    return corrected
