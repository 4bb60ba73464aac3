"""A validation as a table: one figure a line, so that a spreadsheet filters what it wants. No study is in it."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from ..files.tables import show_cell
from ..statistics.intervals import Interval, Proportion
from ..validation.figures import LabelFigures
from ..validation.result import Validation

COLUMNS = ("label", "group", "figure", "value", "low", "high", "method", "studies", "with", "without")
ORIGIN = ("table_sha256", "engine", "engine_sha256", "prompts_sha256", "intended_use")


@dataclass(frozen=True)
class _Line:
    figure: str
    value: float
    low: float | str = ""
    high: float | str = ""
    method: str = ""
    group: str = ""
    counts: tuple[int, int, int] | None = None

    @classmethod
    def of(cls, figure: str, found: Interval | Proportion, method: str) -> "_Line":
        """Make a line of a figure with an interval."""
        return cls(figure, found.value, found.low, found.high, method)


def is_validation_table(head: bytes) -> bool:
    """Tell by its first line whether a file is such a table."""
    return head.splitlines()[0].startswith(",".join(COLUMNS).encode())


def render_validation_table(validation: Validation) -> str:
    """Return the table: label, group, figure, value, interval and its method, counts, hashes.

    No cell is a formula, or obeyed by a screen.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*COLUMNS, *ORIGIN])
    engine = (validation.provenance.get("engine", ""), validation.provenance.get("engine_sha256", ""))
    for figures in validation.labels:
        of_all = (figures.studies, figures.positives, figures.negatives)
        for one in _list_lines(figures):
            numbers = (one.value, one.low, one.high)
            cells = [figures.label, one.group, one.figure, *numbers, one.method, *(one.counts or of_all)]
            origin = [validation.table_sha256, *engine, figures.prompts, "not for clinical use"]
            writer.writerow(map(show_cell, [*cells, *origin]))
    return buffer.getvalue()


def _list_lines(figures: LabelFigures) -> Iterator[_Line]:
    drawn = "bootstrap by patient" if figures.patients is not None else "bootstrap by study"
    yield _Line.of("auc", figures.auc, drawn)
    yield _Line.of("auc", figures.delong.interval, "DeLong")
    yield _Line.of("average precision", figures.average_precision, drawn)
    if figures.calibration is not None:
        yield _Line("calibration error", figures.calibration.error)
        yield _Line("calibration error by chance", figures.calibration.by_chance)
    if (platt := figures.platt) is not None:
        yield _Line("calibration error of the other half", platt.before.error)
        yield _Line("calibration error of the other half, Platt", platt.after.error)
    if (point := figures.point) is not None:
        yield _Line("threshold", point.threshold)
        shares = {"sensitivity": point.sensitivity, "specificity": point.specificity}
        more = {"positive predictive value": point.precision, "negative predictive value": point.negative_value}
        yield from (_Line.of(name, share, "Wilson") for name, share in (shares | more).items() if share is not None)
    if (comparison := figures.comparison) is not None:
        yield _Line.of("auc difference", comparison.difference, drawn)
        yield _Line.of("auc difference", comparison.delong.difference, "DeLong")
        yield _Line("auc difference, p value", comparison.delong.p_value, method="DeLong")
    for group in figures.subgroups:
        if group.auc is not None:
            counts = (group.studies, group.positives, group.negatives)
            value = group.auc
            yield _Line("auc", value.value, value.low, value.high, drawn, f"{group.column}: {group.value}", counts)
