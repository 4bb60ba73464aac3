"""Figures with intervals: AUC, accuracy, precision at k, thresholds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import f1_score, roc_auc_score

from alta_sdk.errors import TrainingError

RESAMPLES = 2000
Floats = NDArray[np.floating[Any]]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write it as 0.850 (0.790 to 0.905)."""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def measure_auc(
    truth: Truth, score: Floats, *, groups: NDArray[Any] | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return the area under the ROC curve of scores (n,) for truth (n,) bool.

    groups: (n,) the patient of each; whole patients are drawn then, since their radiographs are not
    independent. Raises TrainingError for one class or scores that are not finite.
    """
    truth = np.asarray(truth, dtype=bool)
    if truth.all() or not truth.any():
        raise TrainingError("an AUC needs both classes: the set has only one")
    if not np.isfinite(score).all():
        raise TrainingError("scores are not finite: the model's weights are damaged")
    value = float(roc_auc_score(truth, score))
    return _bootstrap(value, lambda drawn: _auc_of(truth[drawn], score[drawn]), len(truth), groups, resamples, seed)


def measure_accuracy(correct: Truth, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Return the share of correct answers (n,) bool."""
    value = float(np.mean(correct))
    return _bootstrap(value, lambda drawn: float(np.mean(correct[drawn])), len(correct), None, resamples, seed)


def precision_at(similarity: Floats, query_labels: NDArray[Any], candidate_labels: NDArray[Any], k: int) -> float:
    """Return the mean share of a query's k most similar candidates that have its label.

    similarity: (queries, candidates). Raises TrainingError if there are fewer than k candidates.
    """
    if similarity.shape[1] < k:
        raise TrainingError(f"precision at {k} needs {k} candidates: there are {similarity.shape[1]}")
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return float((candidate_labels[nearest] == query_labels[:, None]).mean())


def choose_threshold(truth: Truth, score: Floats) -> float:
    """Return the threshold of 0, 0.005, …, 1 whose F1 is best; the first of equal ones.

    Source: the published RSNA script, which selects by F1.
    """
    steps = np.arange(0, 1.005, 0.005)
    return float(max(steps, key=lambda step: f1_score(truth, score > step, zero_division=0.0)))


def score_at(truth: Truth, score: Floats, threshold: float) -> dict[str, float]:
    """Return accuracy, F1, sensitivity and specificity of score > threshold."""
    said = score > threshold
    return {
        "accuracy": float((said == truth).mean()),
        "f1": float(f1_score(truth, said, zero_division=0.0)),
        "sensitivity": float(said[truth].mean()) if truth.any() else float("nan"),
        "specificity": float((~said[~truth]).mean()) if (~truth).any() else float("nan"),
    }


def _bootstrap(
    value: float,
    measure: Callable[[NDArray[np.int64]], float],
    count: int,
    groups: NDArray[Any] | None,
    resamples: int,
    seed: int,
) -> Interval:
    """Draw rows (or whole groups) with replacement and take the middle 95 % of what comes out."""
    generator = np.random.default_rng(seed)
    members = _group_rows(np.arange(count) if groups is None else groups)
    figures = []
    for _ in range(resamples):
        drawn = generator.integers(0, len(members), len(members))
        figures.append(measure(np.concatenate([members[group] for group in drawn])))
    low, high = np.nanpercentile(figures, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def _group_rows(groups: NDArray[Any]) -> list[NDArray[np.int64]]:
    order = np.argsort(groups, kind="stable")
    starts = np.unique(np.asarray(groups)[order], return_index=True)[1]
    return np.split(order, starts[1:])


def _auc_of(truth: Truth, score: Floats) -> float:
    """Return the AUC by ranks, 30 times faster than sklearn's; not a number for one class."""
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return float("nan")
    ranked = float(rankdata(score)[truth].sum())
    return (ranked - positives * (positives + 1) / 2) / (positives * negatives)
