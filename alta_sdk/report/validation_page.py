"""A validation as one self-contained page: what a physicist signs, with everything that it depends on."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..locate.overlay import DISCLAIMER
from ..statistics.intervals import Interval, Proportion
from ..validation.figures import LabelFigures
from ..validation.result import Validation
from .page import list_provenance
from .plots import draw_all
from .run import SmallMap
from .templates import embed_picture, render_template

PAGE_MARK = b'<meta name="generator" content="alta-sdk validation">'
Maps = Mapping[tuple[str, int], SmallMap]  # by label and the study's number


def is_validation_page(head: bytes) -> bool:
    """Tell by its first bytes whether a file is such a page."""
    return head.startswith(b"<!DOCTYPE html>") and PAGE_MARK in head


def render_validation(validation: Validation, maps: Maps | None = None, *, platt: bool = False) -> str:
    """Return the page of a validation, as HTML 5.

    maps: heat maps of worst cases, where they were asked for. platt: a Platt fit was asked for.
    """
    told = validation.provenance.get("notices", ())
    unknown = validation.provenance.get("prompt_reading", ())
    return render_template(
        "validation.html",
        validation=validation,
        engine=validation.provenance.get("engine", "an engine"),
        other=(validation.other or {}).get("engine", ""),
        notices=list(dict.fromkeys([*told, *unknown, f"{DISCLAIMER}."])),
        summary=summarise(validation),
        labels=[_show_label(figures, maps or {}) for figures in validation.labels],
        figure=show_figure,
        provenance=list(list_provenance(validation.provenance)),
        other_provenance=list(list_provenance(validation.other or {})),
        disclaimer=DISCLAIMER,
        platt=platt,
    )


def summarise(validation: Validation) -> str:
    """Say in one line what was measured on what."""
    whose = "" if validation.patients is None else f" of {validation.patients} patients"
    unread = f", {len(validation.unread)} not read" if validation.unread else ""
    count = len(validation.labels)
    return f"{validation.studies} studies{whose}{unread}, {count} label{'s' * (count > 1)}, {validation.created}"


def show_figure(value: Interval | Proportion | None) -> str:
    """Write a figure with its interval as 0.850 (0.790 to 0.905), and - where there is none."""
    return "-" if value is None else f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"


def explain_scores(figures: LabelFigures) -> str:
    """Say whether the scores may be read as probabilities."""
    if figures.calibration is None:
        return "These scores are no probabilities: the labels of the set compete, and a score depends on the others."
    error = f"calibration error {figures.calibration.error:.3f}, {figures.calibration.by_chance:.3f} by chance alone"
    if figures.are_probabilities:
        return f"The scores agree with the shares observed as far as these studies can tell ({error})."
    return (
        f"These scores are no probabilities: they are further from the shares observed than chance explains ({error})."
    )


def _show_label(figures: LabelFigures, maps: Maps) -> dict[str, Any]:
    return {
        "figures": figures,
        "plots": draw_all(figures),
        "calibration": explain_scores(figures),
        "maps": _collect_maps(figures, maps),
    }


def say_truth(has_finding: bool) -> str:
    """Say whether a study has the finding."""
    return "with" if has_finding else "without"


def _collect_maps(figures: LabelFigures, maps: Maps) -> Sequence[dict[str, Any]]:
    """Return the heat maps of a label's worst cases, on one scale."""
    found = [
        (case, maps[figures.label, case.name.number])
        for case in figures.worst
        if (figures.label, case.name.number) in maps
    ]
    if not found:
        return []
    limits = min(one.limits[0] for _, one in found), max(one.limits[1] for _, one in found)
    return [
        {
            "source": embed_picture(one.paint(limits)),
            "width": one.grey_u8.shape[1],
            "height": one.grey_u8.shape[0],
            "told": f"study {case.name.number}, {say_truth(case.truth)} the finding, score {case.score:.3f}",
        }
        for case, one in found
    ]
