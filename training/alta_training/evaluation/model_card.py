"""The model card: what a model was trained on, what it reaches, and what it must not be used for.

Every figure in it is measured by the code that writes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .metrics import Figures

VIEWS_NOTE = (
    "The view alone separates the two classes on this data with the AUC in the row “view alone”: read the "
    "figures within each view before you take the whole for recognition of a finding."
)


@dataclass(frozen=True)
class SplitFigures:
    """One split measured: the model, and the pixel baseline fitted on the train split."""

    split: str
    model: Figures
    baseline: Figures


@dataclass(frozen=True)
class CardFacts:
    """What a card says besides figures; stated: the checkpoint's own metadata."""

    name: str
    stated: Mapping[str, str]
    finding: str
    table: str
    trained: str
    size_bytes: int
    sizes: Mapping[str, int]


def render_card(facts: CardFacts, splits: Sequence[SplitFigures], curve: Sequence[Mapping[str, Any]]) -> str:
    """Write the card in Markdown; curve: the validation figures of each epoch."""
    stated = facts.stated
    sizes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.sizes.items())
    best = stated.get("epoch", "?")
    return "\n".join(
        [
            f"# {facts.name}",
            "",
            f"**{stated['notice']} Not for clinical use: not a medical device.**",
            "",
            f"- Trained on: {stated['training_data']}",
            f"- Licence of the weights: {stated['licence']}",
            f"- Trained parameters of the alignment: {facts.trained}",
            f"- Sizes: {sizes}; file {facts.size_bytes / 1e6:.1f} MB, stored in float16",
            f"- Chosen: the epoch of the best AUC on the validation split, epoch {best}",
            "",
            f"## Zero-shot AUC: “There is {facts.finding.lower()}” / “There is no {facts.finding.lower()}”",
            "",
            "The training texts hold these very sentences, made by rule from the train split's labels: the model has "
            "been taught this label, as the baseline has, and no other hospital has been tried.",
            "",
            f"Against No Finding, frontal mode, on {facts.table}, measured on the stored file. 95 % intervals by "
            "2,000 bootstrap draws of whole patients. The baseline is a logistic regression (C = 1e-3) on 80 "
            "principal components of the standardised 48 × 48 pixels, fitted on the train split.",
            "",
            "| split | radiographs (positive) | patients | what | model | baseline |",
            "|---|---|---|---|---|---|",
            *(row for split in splits for row in _rows(split)),
            "",
            VIEWS_NOTE,
            "",
            "## Validation over the epochs",
            "",
            "| epoch | AUC | 95 % interval |",
            "|---|---|---|",
            *(f"| {v['epoch']} | {v['auc']:.3f} | {v['auc_low']:.3f} to {v['auc_high']:.3f} |" for v in curve),
            "",
        ]
    )


def _rows(split: SplitFigures) -> list[str]:
    model, baseline = split.model, split.baseline
    counts = f"{model['radiographs']} ({model['positive']}) | {model['patients']}"
    views = [key.removesuffix("_low") for key in model if key.endswith("_low") and key != "auc_low"]
    rows = [
        f"| {split.split} | {counts} | {_spell(key)} | {spell_interval(model, key)} | {spell_interval(baseline, key)} |"
        for key in ("auc", *views)
    ]
    if "auc_view_alone" in model:
        rows.append(f"| {split.split} | {counts} | view alone | {model['auc_view_alone']:.3f} | |")
    return rows


def _spell(key: str) -> str:
    return "all" if key == "auc" else f"within {key.removeprefix('auc_')}"


def spell_interval(figures: Figures, key: str) -> str:
    """Write a figure with its interval: 0.850 (0.790 to 0.905)."""
    return f"{figures[key]:.3f} ({figures[f'{key}_low']:.3f} to {figures[f'{key}_high']:.3f})"
