"""All figures of one label on the studies whose truth is known; nothing is chosen here, only measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from ..statistics.calibration import Calibration, measure_calibration
from ..statistics.curves import PrecisionRecallCurve, RocCurve, trace_precision_recall, trace_roc
from ..statistics.delong import MIN_PER_CLASS, AucDifference, AucVariance, compare_aucs, measure_auc_variance
from ..statistics.intervals import Interval, Proportion, measure_proportion
from ..statistics.platt import PlattFit, fit_platt
from ..statistics.resampling import bootstrap_auc, bootstrap_auc_difference, bootstrap_average_precision
from ..statistics.sample_size import count_for_auc, count_for_share
from ..study.naming import StudyName
from .subgroups import Subgroup, measure_subgroups

HISTOGRAM_BINS = 20
MIN_FOR_PLATT = 10  # of each class in each half
NOT_PROBABLE = 0.05  # chance makes an error as large less often: the scores are no probabilities
Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class MeasuredPoint:
    """What a threshold of this site does on these studies; shares with Wilson's intervals, None where none is there.

    precision: the share of positives among those above, negative_value: of negatives among those below.
    """

    threshold: float
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    sensitivity: Proportion
    specificity: Proportion
    precision: Proportion | None
    negative_value: Proportion | None


@dataclass(frozen=True, eq=False)
class Histogram:
    """Numbers of positives and of negatives in each of 20 equal parts from 0 to 1."""

    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]


@dataclass(frozen=True)
class PlattCheck:
    """A Platt fit on half of the patients, and the calibration of the other half before and after it."""

    fit: PlattFit
    fitted_on: int
    measured_on: int
    before: Calibration
    after: Calibration


@dataclass(frozen=True)
class SampleSizes:
    """Studies that intervals of a width need. auc: of this mix. positives: for the sensitivity; negatives likewise.

    auc: None where these studies show no variance of it, and so do not tell, as of an AUC of 1.
    """

    width: float
    auc: int | None
    positives: int | None
    negatives: int | None


@dataclass(frozen=True)
class Case:
    """A study whose score is most against its truth; numbered by its row in the table."""

    name: StudyName
    truth: bool
    score: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return {**self.name.as_dict(), "truth": self.truth, "score": self.score}


@dataclass(frozen=True)
class EngineComparison:
    """This engine's AUC minus another's on the same studies, by patient bootstrap and by DeLong."""

    other_auc: float
    difference: Interval
    delong: AucDifference


@dataclass(frozen=True, eq=False)
class LabelFigures:
    """Everything that is told of one label; calibration is None where scores cannot be probabilities.

    platt: None where it was not asked for, or its halves have too few studies.
    """

    label: str
    prompts: str
    studies: int
    patients: int | None
    positives: int
    negatives: int
    auc: Interval
    delong: AucVariance
    average_precision: Interval
    roc: RocCurve
    precision_recall: PrecisionRecallCurve
    histogram: Histogram
    calibration: Calibration | None
    platt: PlattCheck | None
    point: MeasuredPoint | None
    subgroups: tuple[Subgroup, ...]
    sizes: SampleSizes
    worst: tuple[Case, ...]
    comparison: EngineComparison | None

    @property
    def are_probabilities(self) -> bool:
        """False where the scores are further from the observed shares than chance explains, or cannot be."""
        return self.calibration is not None and self.calibration.p_value >= NOT_PROBABLE


@dataclass(frozen=True, eq=False)
class LabelStudies:
    """The studies with known truth of a label: scores, others (of another engine) and truth (n,), patients (n,)."""

    scores: Floats
    truth: Truth
    patients: NDArray[Any] | None
    groups: Mapping[str, Sequence[str]]
    names: Sequence[StudyName]
    others: Floats | None = None


@dataclass(frozen=True)
class Wishes:
    """What may be asked beyond the rule: the width of an interval, how many worst cases of a kind, a Platt fit."""

    width: float = 0.1
    worst: int = 5
    platt: bool = False


def check_classes(number: int, truth: Truth) -> None:
    """Raise CalibrationError unless both classes of a label are there twice; number: which label, from 1."""
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < MIN_PER_CLASS:
        raise CalibrationError(
            f"label {number}: {positives} positive and {negatives} negative studies; an AUC with an interval needs "
            f"{MIN_PER_CLASS} of each: label more studies, or leave the label out (--label)"
        )


def measure_label(
    label: str, prompts: str, studies: LabelStudies, threshold: float | None, is_pair: bool, wishes: Wishes
) -> LabelFigures:
    """Measure one label. is_pair: its score is of a finding against its negation, and so might be a probability."""
    scores, truth, patients = studies.scores, studies.truth, studies.patients
    delong = measure_auc_variance(scores, truth)
    point = None if threshold is None else measure_point(scores, truth, threshold)
    return LabelFigures(
        label,
        prompts,
        len(truth),
        None if patients is None else len(np.unique(patients)),
        int(truth.sum()),
        int((~truth).sum()),
        bootstrap_auc(scores, truth, patients),
        delong,
        bootstrap_average_precision(scores, truth, patients),
        trace_roc(scores, truth),
        trace_precision_recall(scores, truth),
        count_scores(scores, truth),
        measure_calibration(truth, scores) if is_pair else None,
        check_platt(scores, truth, patients) if wishes.platt and is_pair else None,
        point,
        measure_subgroups(scores, truth, patients, studies.groups),
        SampleSizes(
            wishes.width,
            count_for_auc(delong.variance, len(truth), wishes.width) if delong.variance else None,
            None if point is None else count_for_share(point.sensitivity.value, wishes.width),
            None if point is None else count_for_share(point.specificity.value, wishes.width),
        ),
        find_worst(studies, wishes.worst),
        None if studies.others is None else compare_engines(studies, studies.others),
    )


def measure_point(scores: Floats, truth: Truth, threshold: float) -> MeasuredPoint:
    """Measure a threshold, from which on a study is called positive."""
    said = scores >= threshold
    hits, alarms = int((said & truth).sum()), int((said & ~truth).sum())
    misses, rests = int((~said & truth).sum()), int((~said & ~truth).sum())
    return MeasuredPoint(
        float(threshold),
        hits,
        alarms,
        rests,
        misses,
        measure_proportion(hits, hits + misses),
        measure_proportion(rests, rests + alarms),
        measure_proportion(hits, hits + alarms) if hits + alarms else None,
        measure_proportion(rests, rests + misses) if rests + misses else None,
    )


def count_scores(scores: Floats, truth: Truth) -> Histogram:
    """Count positives and negatives by score."""
    parts = [np.histogram(scores[part], HISTOGRAM_BINS, (0.0, 1.0))[0] for part in (truth, ~truth)]
    return Histogram(*parts)


def check_platt(scores: Floats, truth: Truth, patients: NDArray[Any] | None, seed: int = 0) -> PlattCheck | None:
    """Fit on half of the patients, drawn by lot, and measure on the others; None if a half has too few of a class."""
    whose = np.arange(len(truth)) if patients is None else np.unique(patients, return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(int(whose.max()) + 1)
    is_fitted = order[whose] < len(order) / 2
    if any(min(truth[half].sum(), (~truth[half]).sum()) < MIN_FOR_PLATT for half in (is_fitted, ~is_fitted)):
        return None
    fit = fit_platt(scores[is_fitted], truth[is_fitted])
    rest, right = scores[~is_fitted], truth[~is_fitted]
    before, after = measure_calibration(right, rest), measure_calibration(right, fit.apply(rest))
    return PlattCheck(fit, int(is_fitted.sum()), len(rest), before, after)


def find_worst(studies: LabelStudies, count: int) -> tuple[Case, ...]:
    """Return the positives with the lowest scores, then the negatives with the highest, `count` of each."""
    rows = np.arange(len(studies.truth))
    low = sorted(rows[studies.truth], key=lambda row: studies.scores[row])[:count]
    high = sorted(rows[~studies.truth], key=lambda row: -studies.scores[row])[:count]

    def name(row: int) -> Case:
        return Case(studies.names[row], bool(studies.truth[row]), float(studies.scores[row]))

    return tuple(map(name, [*low, *high]))


def compare_engines(studies: LabelStudies, others: Floats) -> EngineComparison:
    """Compare this engine's scores with another's on the same studies."""
    scores, truth = studies.scores, studies.truth
    delong = compare_aucs(scores, others, truth)
    difference = bootstrap_auc_difference(scores, others, truth, studies.patients)
    return EngineComparison(measure_auc_variance(others, truth).auc, difference, delong)
