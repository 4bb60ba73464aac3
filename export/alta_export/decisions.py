"""What a lowered engine changes for the one who reads scores: the scores, decisions at thresholds, and the AUC.

A decision is a label's score at or above a threshold, as in the SDK. The thresholds are the reference's: of the
finding whose truth is known, the operating point that `alta calibrate` would choose with it (Youden), else 0.5, where
both prompts match alike. A lowered engine is asked at the same ones: a site that changes engines keeps its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alta_sdk.matching.operating_point import MIN_PER_CLASS, find_youden_threshold
from alta_sdk.matching.prompts import make_pair
from alta_sdk.matching.scoring import average_prompts, score_labels
from alta_sdk.statistics.auc import compute_auc
from alta_sdk.statistics.intervals import Interval
from alta_sdk.statistics.resampling import bootstrap_auc_difference

from .answers import Answers, GateInputs

EVEN = 0.5
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class ScoreDrift:
    """Largest change of a score, share of changed decisions, how many there are, and the thresholds by label."""

    max_score_shift: float
    flipped_share: float
    decisions: int
    thresholds: Mapping[str, float]


@dataclass(frozen=True)
class AucDrift:
    """The AUC of the reference and of the engine. loss: the first minus the second, with its 95 % interval."""

    reference: float
    engine: float
    loss: Interval


def score_radiographs(answers: Answers, inputs: GateInputs) -> Scores:
    """Return each label's score for each radiograph: (n, labels)."""
    text = {
        name: (average_prompts(answers.prompts[[yes]]), average_prompts(answers.prompts[[no]]))
        for name, (yes, no) in inputs.labels.items()
    }
    labels = {name: make_pair(name) for name in inputs.labels}
    scored = [score_labels(vector, labels, dict(text), inputs.logit_scale) for vector in answers.radiographs]
    return np.array([list(scores.values()) for scores in scored])


def compare_scores(before: Scores, after: Scores, inputs: GateInputs) -> ScoreDrift:
    """Compare scores (n, labels) of the reference with those of an engine."""
    thresholds = choose_thresholds(before, inputs)
    limits = np.array(list(thresholds.values()))
    return ScoreDrift(
        float(np.abs(before - after).max()),
        float(((before >= limits) != (after >= limits)).mean()),
        before.size,
        thresholds,
    )


def choose_thresholds(scores: Scores, inputs: GateInputs) -> dict[str, float]:
    """Return the threshold of each label, by the reference's scores (n, labels)."""
    found = dict.fromkeys(inputs.labels, EVEN)
    truth = inputs.radiographs.truth
    if truth is not None and min(truth.sum(), (~truth).sum()) >= MIN_PER_CLASS:
        own = scores[:, list(inputs.labels).index(inputs.finding)]
        if compute_auc(own, truth) > EVEN:  # scores that do not separate the classes have no operating point
            found[inputs.finding] = find_youden_threshold(own, truth)
    return found


def compare_auc(before: Scores, after: Scores, inputs: GateInputs) -> AucDrift | None:
    """Compare the AUC of the finding whose truth is known; None if it is not.

    The interval is of the loss on the same drawn patients, or radiographs where patients are not known.
    """
    held = inputs.radiographs
    if held.truth is None:
        return None
    column = list(inputs.labels).index(inputs.finding)
    one, other = before[:, column], after[:, column]
    loss = bootstrap_auc_difference(one, other, held.truth, held.patients)
    return AucDrift(compute_auc(one, held.truth), compute_auc(other, held.truth), loss)
