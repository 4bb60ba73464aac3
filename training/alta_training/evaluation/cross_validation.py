"""Cross-validation by patient: folds, what arms of a comparison score on patients they never saw, and a table.

Every arm sees the same folds with the same seeds, so that differences are of the same patients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from alta_sdk.errors import TrainingError
from alta_sdk.statistics.auc import compute_auc
from alta_sdk.statistics.intervals import Interval, bootstrap

from ..data.labelled import LabelledRadiograph

Floats = NDArray[np.floating[Any]]
RESAMPLES = 1000


@dataclass(frozen=True)
class Fold:
    """One part of one division: which rows of the radiographs train, and which are held out (int64)."""

    seed: int
    number: int
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]


@dataclass(frozen=True)
class ArmFigures:
    """An arm over all divisions: its AUC by seed, with interval, and its gain over another arm."""

    name: str
    by_seed: list[float]
    auc: Interval
    gain: Interval | None
    over: str


def divide(radiographs: Sequence[LabelledRadiograph], folds: int, seeds: Sequence[int]) -> list[Fold]:
    """Divide radiographs into folds, a patient's together and both classes in each, anew for each seed.

    Raises TrainingError if there are too few patients for that.
    """
    truth = np.array([radiograph.is_positive for radiograph in radiographs])
    patients = np.array([radiograph.patient for radiograph in radiographs])
    fewest = min(len(set(patients[truth == side])) for side in (False, True))
    if fewest < folds:
        raise TrainingError(f"{folds} folds need as many patients of either class, not {fewest}: choose fewer --folds")
    divided = []
    for seed in seeds:
        parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(truth, truth, patients)
        divided += [Fold(seed, number, train, held_out) for number, (train, held_out) in enumerate(parts)]
    if any(len(set(truth[rows])) < 2 for fold in divided for rows in (fold.train, fold.held_out)):
        raise TrainingError(f"one of {folds} folds by patient would lack a class: choose fewer --folds")
    return divided


def measure_folds(truth: NDArray[np.bool_], folds: Sequence[Fold], scores: Sequence[Floats], rows: Any) -> list[float]:
    """Return the AUC within each fold of drawn rows (they may repeat), each by the model that never saw them.

    scores: of each fold's held-out rows, in their order. A fold that lacks a class in the draw gives no number.
    """
    counts = np.bincount(rows, minlength=len(truth))
    aucs = []
    for fold, own in zip(folds, scores, strict=True):
        drawn = np.repeat(np.arange(len(own)), counts[fold.held_out])
        is_positive = truth[fold.held_out][drawn]
        two = is_positive.any() and not is_positive.all()
        aucs.append(compute_auc(own[drawn], is_positive) if two else float("nan"))
    return aucs


def compare_arms(
    radiographs: Sequence[LabelledRadiograph],
    folds: Sequence[Fold],
    scores: Mapping[str, Sequence[Floats]],
    over: Mapping[str, str],
) -> list[ArmFigures]:
    """Measure arms: the mean AUC of all folds and seeds, and the gain over another arm on the same patients.

    scores: by arm, of each fold's held-out rows. over: for an arm, the one that it is held against.
    Intervals are 95 % bootstraps of whole patients, the trained models kept: they tell what other patients
    would change, and not what other training sets would.
    """
    truth = np.array([radiograph.is_positive for radiograph in radiographs])
    patients = np.array([radiograph.patient for radiograph in radiographs])

    def interval(one: str, other: str | None) -> Interval:
        def measure(rows: NDArray[np.int64]) -> float:
            own = np.array(measure_folds(truth, folds, scores[one], rows))
            return float(np.nanmean(own - np.array(measure_folds(truth, folds, scores[other], rows)) if other else own))

        return bootstrap(measure, len(truth), groups=patients, resamples=RESAMPLES)

    seeds = sorted({fold.seed for fold in folds})
    figures = []
    for name in scores:
        aucs = measure_folds(truth, folds, scores[name], np.arange(len(truth)))
        by_seed = [float(np.mean([a for a, f in zip(aucs, folds, strict=True) if f.seed == seed])) for seed in seeds]
        base = over.get(name)
        figures.append(
            ArmFigures(name, by_seed, interval(name, None), interval(name, base) if base else None, base or "")
        )
    return figures


def render_arms(figures: Sequence[ArmFigures], descriptions: Mapping[str, str]) -> str:
    """Write the arms as a Markdown table."""
    lines = ["| arm | what | AUC | least to most of the seeds | gain |", "|---|---|---|---|---|"]
    for arm in figures:
        gain = f"{_signed(arm.gain)} over {arm.over}" if arm.gain else ""
        spread = f"{min(arm.by_seed):.3f} to {max(arm.by_seed):.3f}"
        lines.append(f"| {arm.name} | {descriptions.get(arm.name, '')} | {arm.auc} | {spread} | {gain} |")
    return "\n".join(lines) + "\n"


def _signed(gain: Interval) -> str:
    return f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
