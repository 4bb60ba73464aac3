"""Choose a threshold on labelled scores, and say how sure the figures are. numpy alone.

A study is called positive if its score is at least the threshold. Only thresholds between two scores
that occurred are tried: any other gives the same calls on these studies and no reason to prefer it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from ..statistics.auc import compute_auc
from ..statistics.intervals import RESAMPLES, Proportion, bootstrap, find_middle, measure_proportion

Target = Literal["youden", "sensitivity", "specificity"]
MIN_PER_CLASS = 20
Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it did on the studies that chose it.

    sensitivity, specificity: on those very studies, so somewhat too good; measure on others before use.
    low, high: the middle 95 % of the thresholds that 2,000 bootstrap draws of the studies would choose.
    """

    threshold: float
    low: float
    high: float
    sensitivity: Proportion
    specificity: Proportion
    positives: int
    negatives: int


def choose_operating_point(
    scores: Scores,
    truth: Truth,
    target: Target = "youden",
    at_least: float | None = None,
    seed: int = 0,
    patients: NDArray[Any] | None = None,
) -> OperatingPoint:
    """Return the operating point of scores (n,) for truth (n,) bool.

    target: "youden" takes the highest sensitivity + specificity; "sensitivity" the highest threshold that
    reaches `at_least`; "specificity" the lowest.
    patients: (n,), whose studies the bootstrap draws together; None draws studies, of each class as many as there are.
    Raises CalibrationError for under 20 studies of a class, fewer than `at_least` can be told with,
    scores that are not finite or do not separate the classes, or a target that makes no sense.
    Source: Youden, Cancer 1950.
    """
    check_truth(truth, target, at_least)
    if not np.isfinite(scores).all():
        raise CalibrationError("scores are not finite: the engine does not compute on these studies")
    if compute_auc(scores, truth) <= 0.5:
        raise CalibrationError("scores do not separate the classes: positives score no higher than negatives")
    threshold = _choose(scores, truth, target, at_least)
    said = scores >= threshold
    positive, negative = scores[truth], scores[~truth]
    if patients is None:
        low, high = find_middle(_draw_studies(positive, negative, target, at_least), RESAMPLES, seed)
    else:

        def choose(rows: NDArray[np.int64]) -> float:
            is_whole = truth[rows].any() and not truth[rows].all()
            return _choose(scores[rows], truth[rows], target, at_least) if is_whole else math.nan

        drawn = bootstrap(choose, len(truth), groups=patients, seed=seed)
        low, high = drawn.low, drawn.high
    return OperatingPoint(
        float(threshold),
        low,
        high,
        measure_proportion(int(said[truth].sum()), len(positive)),
        measure_proportion(int((~said[~truth]).sum()), len(negative)),
        len(positive),
        len(negative),
    )


def find_youden_threshold(scores: Scores, truth: Truth) -> float:
    """Return the threshold of `choose_operating_point` alone; scores (n,) must separate the classes of truth (n,)."""
    return float(_choose(scores, truth, "youden", None))


def _draw_studies(
    positive: Scores, negative: Scores, target: Target, at_least: float | None
) -> "Callable[[np.random.Generator], float]":
    truth = np.repeat([True, False], [len(positive), len(negative)])

    def draw(generator: np.random.Generator) -> float:
        drawn = np.concatenate([generator.choice(part, len(part)) for part in (positive, negative)])
        return _choose(drawn, truth, target, at_least)

    return draw


def check_truth(truth: Truth, target: str, at_least: float | None) -> None:
    """Raise CalibrationError unless a threshold can be chosen with truth (n,) bool; looks at no score."""
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < MIN_PER_CLASS:
        raise CalibrationError(
            f"{positives} positive and {negatives} negative studies: a threshold needs {MIN_PER_CLASS} of each"
        )
    if target not in ("youden", "sensitivity", "specificity"):
        raise CalibrationError('target is unknown: choose "youden", "sensitivity" or "specificity"')
    if (at_least is None) != (target == "youden"):
        raise CalibrationError("at_least goes with the targets sensitivity and specificity, which need it")
    if at_least is not None:
        if not 0.5 <= at_least < 1:
            raise CalibrationError("at_least must be 0.5 or more and under 1")
        count, needed = positives if target == "sensitivity" else negatives, math.ceil(1 / (1 - at_least) - 1e-9)
        if count < needed:
            # With fewer, one single miss breaks the target: the threshold would be the worst score alone.
            kind = "positive" if target == "sensitivity" else "negative"
            raise CalibrationError(f"a {target} of {at_least:g} needs {needed} {kind} studies: there are {count}")


def _choose(scores: Scores, truth: Truth, target: Target, at_least: float | None) -> float:
    levels = np.unique(scores)
    candidates = np.concatenate(([levels[0]], (levels[:-1] + levels[1:]) / 2))  # the first calls all positive
    positive, negative = np.sort(scores[truth]), np.sort(scores[~truth])
    sensitivity = 1 - np.searchsorted(positive, candidates, "left") / len(positive)
    specificity = np.searchsorted(negative, candidates, "left") / len(negative)
    if target == "youden":
        best: Any = candidates[np.argmax(np.round(sensitivity + specificity, 12))]  # of equal ones the most sensitive
        return float(best)
    reached = (sensitivity if target == "sensitivity" else specificity) >= (at_least or 0) - 1e-12
    if not reached.any():  # all negatives above every candidate: only a threshold over all scores is specific
        return float(np.nextafter(levels[-1], np.inf))
    return float(candidates[reached].max() if target == "sensitivity" else candidates[reached].min())
