"""95 % intervals: by bootstrap for any figure, Wilson's for a share. numpy alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
MIDDLE = (0.025, 0.975)
Z_95 = 1.959963984540054  # of the normal distribution, two-sided


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write it as 0.850 (0.790 to 0.905)."""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Proportion:
    """A share of studies with its 95 % Wilson interval."""

    value: float
    low: float
    high: float


def bootstrap(
    measure: Callable[[NDArray[np.int64]], float],
    count: int,
    *,
    groups: NDArray[Any] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Measure all of `count` rows, and again as many rows drawn with replacement.

    measure: takes the numbers of the rows. groups: (count,), whose rows are drawn together, such as a patient's.
    """
    members = _group_rows(np.arange(count) if groups is None else groups)

    def draw(generator: np.random.Generator) -> float:
        drawn = generator.integers(0, len(members), len(members))
        return measure(np.concatenate([members[group] for group in drawn]))

    return Interval(measure(np.arange(count)), *find_middle(draw, resamples, seed))


# In quotes: numpy imports its generators, 13 modules, when they are first named.
def find_middle(draw: "Callable[[np.random.Generator], float]", resamples: int, seed: int) -> tuple[float, float]:
    """Return the bounds of the middle 95 % of what `resamples` draws give; what is not a number is left out."""
    generator = np.random.default_rng(seed)
    low, high = np.nanquantile([draw(generator) for _ in range(resamples)], MIDDLE)
    return float(low), float(high)


def measure_proportion(hits: float, count: int) -> Proportion:
    """Return hits / count with the 95 % Wilson score interval.

    Source: Wilson, JASA 1927 (chosen after Brown, Cai, DasGupta, Stat. Sci. 2001).
    """
    share, weight = hits / count, Z_95**2 / count
    centre = (share + weight / 2) / (1 + weight)
    half = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    return Proportion(share, max(0.0, centre - half), min(1.0, centre + half))


def _group_rows(groups: NDArray[Any]) -> list[NDArray[np.int64]]:
    order = np.argsort(groups, kind="stable")
    starts = np.unique(np.asarray(groups)[order], return_index=True)[1]
    return np.split(order, starts[1:])
