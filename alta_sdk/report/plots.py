"""Curves as SVG inside a page: numbers made into places here, drawn by `plots.html`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..matching.operating_point import OperatingPoint
from ..statistics.curves import PrecisionRecallCurve, RocCurve
from ..validation.figures import Histogram, LabelFigures, MeasuredPoint

LEFT, TOP, SIDE = 46.0, 10.0, 250.0  # of the square that is drawn in
MOST_POINTS = 400  # of a curve: more are not seen
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Mark:
    """A dot with its 95 % intervals as a cross, in the places of the drawing; a width of 0 is none."""

    x: float
    y: float
    left: float
    right: float
    top: float
    bottom: float
    told: str


@dataclass(frozen=True)
class Plot:
    """One drawing. lines: kind and points of each; bars: kind, x, y, width, height; ticks of y: place and text."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[tuple[str, str]] = ()
    marks: Sequence[Mark] = ()
    bars: Sequence[tuple[str, float, float, float, float]] = ()
    y_ticks: Sequence[tuple[float, str]] = field(default_factory=lambda: [(_y(tick), f"{tick:g}") for tick in TICKS])
    x_ticks: Sequence[tuple[float, str]] = field(default_factory=lambda: [(_x(tick), f"{tick:g}") for tick in TICKS])


def draw_all(figures: LabelFigures) -> list[Plot]:
    """Return the drawings of a label: both curves, the calibration where there is one, and the scores."""
    plots = [draw_roc(figures.roc, figures.point, figures.auc.value), draw_precision_recall(figures)]
    if figures.calibration is not None:
        plots.append(draw_calibration(figures))
    return [*plots, draw_scores(figures.histogram, figures.point)]


def draw_roc(curve: RocCurve, point: MeasuredPoint | OperatingPoint | None, auc: float) -> Plot:
    """Draw a ROC curve, chance, and this site's threshold with its intervals."""
    lines = [("chance", _join([0, 1], [0, 1])), ("curve", _join(curve.false_positive_rate, curve.true_positive_rate))]
    marks = []
    if point is not None:
        spec, sens = point.specificity, point.sensitivity
        told = f"threshold {point.threshold:.3f}: sensitivity {sens.value:.3f}, specificity {spec.value:.3f}"
        across, up = (1 - spec.value, 1 - spec.high, 1 - spec.low), (sens.value, sens.low, sens.high)
        marks.append(_mark(across, up, told))
    return Plot(f"ROC curve, AUC {auc:.3f}", "1 - specificity", "sensitivity", lines, marks)


def draw_precision_recall(figures: LabelFigures) -> Plot:
    """Draw a precision-recall curve as the steps that its average precision sums, and chance: the positives' share."""
    curve: PrecisionRecallCurve = figures.precision_recall
    recall = np.repeat(np.concatenate(([0.0], curve.recall)), 2)[1:-1]
    share = figures.positives / figures.studies
    lines = [("chance", _join([0, 1], [share, share])), ("curve", _join(recall, np.repeat(curve.precision, 2)))]
    marks = []
    if (point := figures.point) is not None and point.precision is not None:
        sens, precision = point.sensitivity, point.precision
        told = f"threshold {point.threshold:.3f}: recall {sens.value:.3f}, precision {precision.value:.3f}"
        across, up = (sens.value, sens.low, sens.high), (precision.value, precision.low, precision.high)
        marks.append(_mark(across, up, told))
    title = f"Precision and recall, average precision {figures.average_precision.value:.3f}"
    return Plot(title, "recall (sensitivity)", "precision", lines, marks)


def draw_calibration(figures: LabelFigures) -> Plot:
    """Draw the share of positives against the mean score, a dot for each bin with Wilson's interval."""
    assert figures.calibration is not None
    bins = figures.calibration.bins
    lines = [("chance", _join([0, 1], [0, 1])), ("curve", _join([b.score for b in bins], [b.observed for b in bins]))]
    marks = []
    for one in bins:
        share = one.interval
        told = f"{one.count} studies of mean score {one.score:.3f}: share {one.observed:.3f}"
        marks.append(_mark((one.score, one.score, one.score), (one.observed, share.low, share.high), told))
    title = f"Calibration, error {figures.calibration.error:.3f}"
    return Plot(title, "mean score", "share with the finding", lines, marks)


def draw_scores(histogram: Histogram, point: MeasuredPoint | None) -> Plot:
    """Draw how many positives (upwards) and negatives (downwards) have which score."""
    most = int(max(histogram.positives.max(), histogram.negatives.max(), 1))
    width, half = SIDE / len(histogram.positives), SIDE / 2
    bars = []
    for number, (hits, rests) in enumerate(zip(histogram.positives, histogram.negatives, strict=True)):
        for kind, count in (("positive", int(hits)), ("negative", int(rests))):
            height = half * count / most
            top = TOP + half - (height if kind == "positive" else 0)
            if count:
                bars.append((kind, round(LEFT + number * width + 0.5, 2), round(top, 2), width - 1, round(height, 2)))
    lines = [] if point is None else [("limit", _join([point.threshold] * 2, [0, 1]))]
    ticks = [(TOP, str(most)), (TOP + half, "0"), (TOP + SIDE, str(most))]
    return Plot("Scores: with the finding above, without below", "score", "studies", lines, (), bars, ticks)


def _mark(across: Iterable[float], up: Iterable[float], told: str) -> Mark:
    x, left, right = map(_x, across)
    y, bottom, top = map(_y, up)
    return Mark(x, y, left, right, top, bottom, told)


def _join(across: Sequence[float] | NDArray[Any], up: Sequence[float] | NDArray[Any]) -> str:
    """Return points as SVG has them; of a long curve some, the first and the last with them."""
    keep = np.unique(np.linspace(0, len(across) - 1, min(len(across), MOST_POINTS)).round().astype(int))
    return " ".join(f"{_x(float(across[row]))},{_y(float(up[row]))}" for row in keep)


def _x(share: float) -> float:
    return round(LEFT + SIDE * share, 2)


def _y(share: float) -> float:
    return round(TOP + SIDE * (1 - share), 2)
