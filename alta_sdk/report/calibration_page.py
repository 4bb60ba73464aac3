"""The thresholds that a site has chosen as a page: each ROC curve, with the point on it."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..locate.overlay import DISCLAIMER
from ..matching.thresholds import Threshold
from ..statistics.curves import RocCurve
from ..statistics.intervals import Interval
from .page import list_provenance
from .plots import draw_roc
from .templates import render_template
from .validation_page import show_figure

PAGE_MARK = b'<meta name="generator" content="alta-sdk calibration">'


def is_calibration_page(head: bytes) -> bool:
    """Tell by its first bytes whether a file is such a page."""
    return head.startswith(b"<!DOCTYPE html>") and PAGE_MARK in head


def render_calibration(
    chosen: Sequence[Threshold],
    aucs: Mapping[str, Interval],
    curves: Mapping[str, RocCurve],
    provenance: Mapping[str, Any],
) -> str:
    """Return the page of chosen thresholds, as HTML 5; aucs, curves: by label."""
    names = [one.binding.label for one in chosen]
    return render_template(
        "calibration.html",
        engine=provenance["engine"],
        notices=list(dict.fromkeys([*provenance.get("notices", ()), f"{DISCLAIMER}."])),
        chosen=[(name, one, aucs[name]) for name, one in zip(names, chosen, strict=True)],
        plots=[draw_roc(curves[name], one.point, aucs[name].value) for name, one in zip(names, chosen, strict=True)],
        figure=show_figure,
        provenance=list(list_provenance(provenance)),
    )
