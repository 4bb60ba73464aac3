"""Are scores probabilities? Expected calibration error, and what was observed bin by bin."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .intervals import Proportion, measure_proportion

BINS = 10
DRAWS = 2000
Truth = NDArray[np.bool_]
Probabilities = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Bin:
    """Radiographs of like score: their mean score, the share of them that has the finding, their number."""

    score: float
    observed: float
    count: int

    @property
    def interval(self) -> Proportion:
        """The share with Wilson's interval."""
        return measure_proportion(round(self.observed * self.count), self.count)


@dataclass(frozen=True)
class Calibration:
    """The expected calibration error, what it would be by chance alone, and its bins by rising score.

    p_value: how often chance alone makes the error as large as that, of scores that are probabilities.
    """

    error: float
    by_chance: float
    bins: tuple[Bin, ...]
    p_value: float = float("nan")


def measure_calibration(
    truth: Truth, probability: Probabilities, *, bins: int = BINS, draws: int = DRAWS, seed: int = 0
) -> Calibration:
    """Measure how far scores (n,) from 0 to 1 are from the share observed for truth (n,) bool.

    Scores are sorted and cut into bins of equal count (to one). With n_b radiographs in bin b, their mean
    score p_b and their share of positives o_b, the error is Σ_b n_b / n · |o_b - p_b|.
    By chance: the mean error of truths drawn with exactly these probabilities. Few radiographs make it large.
    Source: Naeini et al., AAAI 2015, with bins of equal count.
    """
    order = np.argsort(probability, kind="stable")
    probability, truth = probability[order], np.asarray(truth, dtype=bool)[order]
    parts = np.array_split(np.arange(len(order)), min(bins, len(order)))
    starts, counts = np.array([part[0] for part in parts]), np.array([len(part) for part in parts])
    expected = np.add.reduceat(probability, starts)  # positives that the scores promise, by bin

    def measure(drawn: NDArray[np.bool_]) -> float:
        return float(np.abs(np.add.reduceat(drawn.astype(float), starts) - expected).sum() / len(drawn))

    generator = np.random.default_rng(seed)
    chance = [measure(generator.random(len(truth)) < probability) for _ in range(draws)]
    observed = np.add.reduceat(truth.astype(float), starts)
    table = zip(expected / counts, observed / counts, counts, strict=True)
    error, told = measure(truth), tuple(Bin(float(p), float(o), int(n)) for p, o, n in table)
    return Calibration(error, float(np.mean(chance)), told, float(np.mean(np.array(chance) >= error)))
