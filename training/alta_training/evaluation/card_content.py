"""What a model card says, for programs: the facts and figures of its Markdown as one JSON object, card.json.

An engine takes both files into its bundle. The same run gives the same bytes: no date stands in them, and figures have
six decimals, more than their intervals bear.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from alta_sdk.engine.card import SCHEMA_VERSION
from alta_sdk.statistics.intervals import RESAMPLES

from .card_figures import OtherHospital, SplitFigures
from .card_sections import list_views
from .metrics import Figures
from .model_card import CardFacts
from .zero_shot import FindingFigures

DECIMALS = 6
INTERVALS = f"95 % by {RESAMPLES:,} bootstrap draws of whole patients"
STATED = ("notice", "training_data", "licence")


def describe_card(
    facts: CardFacts,
    splits: Sequence[SplitFigures],
    curve: Sequence[Mapping[str, Any]],
    other: OtherHospital | None = None,
) -> dict[str, Any]:
    """Return the content of card.json; of the same as `model_card.render_card` is given."""
    content = {
        **describe_facts(facts.name, facts.weights_sha256, facts.stated),
        "finding": facts.finding,
        "against": "No Finding",
        "table": facts.table,
        "trained_parameters": facts.tell_trained(),
        "sizes": dict(facts.sizes),
        "file": {"bytes": facts.size_bytes, "format": facts.number_format},
        "chosen": {"by": "validation" if facts.is_validated else "last epoch", "epoch": facts.stated.get("epoch", "?")},
        "intervals": INTERVALS,
        "splits": [_describe_split(split) for split in splits],
        "other_hospital": None if other is None else asdict(other),
        "validation": [dict(one) for one in curve],
    }
    rounded: dict[str, Any] = _round(content)
    return rounded


def describe_facts(name: str, weights_sha256: str, stated: Mapping[str, str]) -> dict[str, Any]:
    """Return what every card.json has: of which weights it is, and what these state of themselves."""
    own = {key: stated[key] for key in STATED if key in stated}
    return {"schema_version": SCHEMA_VERSION, "name": name, "weights_sha256": weights_sha256, **own}


def render_content(content: Mapping[str, Any]) -> bytes:
    """Return the text of card.json."""
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


def take_auc(figures: Figures, view: str | None = None) -> dict[str, float]:
    """Return an AUC with its interval, of all radiographs or within a view."""
    key = "auc" if view is None else f"auc_{view}"
    return {"value": figures[key], "low": figures[f"{key}_low"], "high": figures[f"{key}_high"]}


def _describe_split(split: SplitFigures) -> dict[str, Any]:
    return {
        "split": split.split,
        **_describe_figures(split.model),
        "view_alone": split.model.get("auc_view_alone"),
        "pixel_baseline": _describe_figures(split.pixels),
        "frozen_features": _describe_figures(split.frozen),
        "calibration": asdict(split.calibration),
        "findings": [_describe_finding(one) for one in split.findings],
        "left_out": dict(split.left_out),
    }


def _describe_finding(one: FindingFigures) -> dict[str, Any]:
    own = {"finding": one.finding, "with_main": one.with_main, "positive_by_view": dict(one.by_view)}
    return {**own, **_describe_figures(one.figures)}


def _describe_figures(figures: Figures) -> dict[str, Any]:
    counts = {name: figures[name] for name in ("radiographs", "positive", "patients")}
    return {
        **counts,
        "auc": take_auc(figures),
        "views": {view: take_auc(figures, view) for view in list_views(figures)},
    }


def _round(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return round(float(value), DECIMALS) + 0.0 if math.isfinite(value) else None  # no -0.0; nothing was measured
    if isinstance(value, Mapping):
        return {str(key): _round(item) for key, item in value.items()}
    return [_round(item) for item in value] if isinstance(value, list | tuple) else value
