"""Figures with intervals: AUC and its loss, accuracy, precision at k, thresholds."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from alta_sdk.errors import TrainingError
from alta_sdk.statistics.auc import compute_auc
from alta_sdk.statistics.intervals import RESAMPLES, Interval, bootstrap

Floats = NDArray[np.floating[Any]]
Truth = NDArray[np.bool_]
Figures = dict[str, Any]  # what a protocol reports: numbers by name


def measure_auc(
    truth: Truth, score: Floats, *, groups: NDArray[Any] | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return the area under the ROC curve of scores (n,) for truth (n,) bool.

    groups: (n,) the patient of each; whole patients are drawn then, since their radiographs are not
    independent. Raises TrainingError for one class or scores that are not finite.
    """
    truth = _check_truth(truth, score)
    return bootstrap(
        lambda rows: compute_auc(score[rows], truth[rows]), len(truth), groups=groups, resamples=resamples, seed=seed
    )


def measure_auc_loss(
    truth: Truth,
    reference: Floats,
    score: Floats,
    *,
    groups: NDArray[Any] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return how much lower the AUC of `score` (n,) is than that of `reference` (n,): negative where it is higher.

    Both are measured on the same drawn radiographs (whole patients with groups), so that what makes a draw easy
    or hard for both leaves their difference. Raises as `measure_auc`.
    """
    truth = _check_truth(truth, reference, score)

    def measure(rows: NDArray[np.int64]) -> float:
        return compute_auc(reference[rows], truth[rows]) - compute_auc(score[rows], truth[rows])

    return bootstrap(measure, len(truth), groups=groups, resamples=resamples, seed=seed)


def measure_accuracy(correct: Truth, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Return the share of correct answers (n,) bool."""
    return bootstrap(lambda rows: float(np.mean(correct[rows])), len(correct), resamples=resamples, seed=seed)


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


def _check_truth(truth: Truth, *scores: Floats) -> Truth:
    truth = np.asarray(truth, dtype=bool)
    if truth.all() or not truth.any():
        raise TrainingError("an AUC needs both classes: the set has only one")
    if not all(np.isfinite(score).all() for score in scores):
        raise TrainingError("scores are not finite: the model's weights are damaged")
    return truth
