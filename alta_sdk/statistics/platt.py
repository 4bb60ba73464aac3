"""Platt scaling: a logistic curve of two numbers that turns scores into probabilities of this site's mix."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEPS = 100
HALVINGS = 30
CLOSE_ENOUGH = 1e-10
EDGE = 1e-9  # keeps the log odds of a score of 0 or 1 finite
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PlattFit:
    """probability = 1 / (1 + exp(-(slope · x + shift))), x the log odds of the score. 1 and 0 change nothing."""

    slope: float
    shift: float

    def apply(self, scores: NDArray[np.floating[Any]]) -> Floats:
        """Return probabilities for scores (n,) from 0 to 1."""
        return _curve(self.slope * to_log_odds(scores) + self.shift)


def to_log_odds(scores: NDArray[np.floating[Any]]) -> Floats:
    """Return the log odds of scores (n,) from 0 to 1, of 0 and 1 finite ones."""
    inside = np.clip(np.asarray(scores, dtype=np.float64), EDGE, 1 - EDGE)
    odds: Floats = np.log(inside) - np.log1p(-inside)
    return odds


def fit_platt(scores: NDArray[np.floating[Any]], truth: NDArray[np.bool_]) -> PlattFit:
    """Fit scores (n,) from 0 to 1 to truth (n,) bool, both classes in it, by Newton's method with halved steps.

    The targets are (P + 1) / (P + 2) and 1 / (N + 2) for P positives and N negatives, so that no fit is infinite.
    Source: Platt, Advances in Large Margin Classifiers 1999; Lin, Lin and Weng, Machine Learning 2007.
    """
    positives, negatives = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack([to_log_odds(scores), np.ones(len(truth))], axis=1)  # (n, 2)
    fit = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    loss = _measure_loss(design @ fit, target)
    for _ in range(STEPS):
        said = _curve(design @ fit)
        gradient = design.T @ (said - target)
        weights = np.maximum(said * (1 - said), 1e-12)
        step = np.linalg.solve((design.T * weights) @ design + 1e-12 * np.eye(2), gradient)
        if float(gradient @ step) < CLOSE_ENOUGH**2:
            break
        for halving in range(HALVINGS):
            tried = fit - step / 2**halving
            if (lower := _measure_loss(design @ tried, target)) < loss:
                fit, loss = tried, lower
                break
        else:  # no shorter step is better: this is the place
            break
    return PlattFit(float(fit[0]), float(fit[1]))


def _curve(odds: Floats) -> Floats:
    curve: Floats = np.exp(-np.logaddexp(0.0, -odds))
    return curve


def _measure_loss(odds: Floats, target: Floats) -> float:
    return float((np.logaddexp(0.0, odds) - target * odds).sum())
