"""ROC and precision-recall curves: every threshold that occurred, none left out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
Truth = NDArray[np.bool_]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Both rates at each threshold, (k,) from (0, 0) to (1, 1): a study is positive from the threshold on."""

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall at each threshold, (k,) by rising recall, and the average precision.

    average_precision: Σ (recall_k - recall_{k-1}) · precision_k: steps, no line between points.
    """

    precision: Floats
    recall: Floats
    thresholds: Floats
    average_precision: float


def trace_roc(scores: Scores, truth: Truth) -> RocCurve:
    """Return the ROC curve of scores (n,) for truth (n,) bool, both classes in it; the first threshold is infinite."""
    levels, hits, alarms = _count_from(scores, truth)
    return RocCurve(
        np.concatenate(([0.0], alarms / alarms[-1])),
        np.concatenate(([0.0], hits / hits[-1])),
        np.concatenate(([np.inf], levels)),
    )


def trace_precision_recall(scores: Scores, truth: Truth) -> PrecisionRecallCurve:
    """Return the precision-recall curve of scores (n,) for truth (n,) bool with at least one positive."""
    levels, hits, alarms = _count_from(scores, truth)
    precision, recall = hits / (hits + alarms), hits / hits[-1]
    average = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    return PrecisionRecallCurve(precision, recall, levels, average)


def measure_average_precision(scores: Scores, truth: Truth) -> float:
    """Return the average precision; not a number without a positive."""
    return trace_precision_recall(scores, truth).average_precision if truth.any() else float("nan")


def _count_from(scores: Scores, truth: Truth) -> tuple[Floats, Counts, Counts]:
    """Return the levels that occur, falling, and the positives and negatives from each level on."""
    order = np.argsort(-scores, kind="stable")
    ordered = np.asarray(scores, dtype=np.float64)[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # where a run of equal scores ends
    hits: Counts = np.cumsum(truth[order], dtype=np.int64)[last]
    return ordered[last], hits, last + 1 - hits
