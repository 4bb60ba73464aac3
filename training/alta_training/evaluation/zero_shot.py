"""Zero-shot on a labelled table: "There is …" against "There is no …", or what a family asks, for any Encoder.

Every figure is a number by a name; intervals are 95 % bootstraps of whole patients.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alta_sdk.engine.vectors import Vector
from alta_sdk.matching.prompts import make_pair

from ..data.labelled import LabelledRadiograph, count_findings, read_labelled, spell_finding
from .encoders import Encoder, embed_label
from .metrics import Figures, measure_auc

FEWEST = 10  # positives that a finding needs in a split to be measured


def evaluate_labelled(
    encoder: Encoder, radiographs: Sequence[LabelledRadiograph], finding: str, *, seed: int = 0
) -> Figures:
    """Return the zero-shot AUC of "There is …" / "There is no …", whole and within each view.

    view_alone: the AUC of guessing by PA against the rest.
    """
    return describe_scores("labelled table", radiographs, score_pair(encoder, radiographs, finding), seed=seed)


@dataclass(frozen=True)
class FindingFigures:
    """One finding against No Finding on one split; positives by view, and how many have the main finding, too."""

    finding: str
    figures: Figures
    by_view: Mapping[str, int]
    with_main: int


def evaluate_findings(
    encoder: Encoder, table: Path, split: str, main: str, *, fewest: int = FEWEST, seed: int = 0
) -> tuple[list[FindingFigures], dict[str, int]]:
    """Measure every finding of a labelled table but the main one, each against No Finding, the commonest first.

    Returns them, and those that were left out with their number of positives, under `fewest`.
    Raises TrainingError as `read_labelled`.
    """
    counts = {name: count for name, count in count_findings(table, split).most_common() if name.lower() != main.lower()}
    measured = []
    for name, count in counts.items():
        if count >= fewest:
            radiographs = read_labelled(table, split=split, finding=name)
            positives = [radiograph for radiograph in radiographs if radiograph.is_positive]
            measured.append(
                FindingFigures(
                    name,
                    evaluate_labelled(encoder, radiographs, name, seed=seed),
                    Counter(radiograph.view for radiograph in positives),
                    sum(main.lower() in radiograph.findings for radiograph in positives),
                )
            )
    return measured, {name: count for name, count in counts.items() if count < fewest}


def score_pair(encoder: Encoder, radiographs: Sequence[LabelledRadiograph], finding: str) -> Vector:
    """Return the cosine with "There is …" less that with "There is no …", or with the family's own pair: (n,)."""
    label = make_pair(spell_finding(finding), encoder.asking.prompt_pair)
    vectors = encoder.embed_radiographs([radiograph.path for radiograph in radiographs])
    return np.asarray(vectors @ (embed_label(encoder, label.positive) - embed_label(encoder, label.negative)))


def describe_scores(
    protocol: str, radiographs: Sequence[LabelledRadiograph], score: NDArray[np.floating[Any]], *, seed: int = 0
) -> Figures:
    """Return counts and AUCs of scores (n,) of labelled radiographs, whatever gave them."""
    truth = np.array([radiograph.is_positive for radiograph in radiographs])
    patients = np.array([radiograph.patient for radiograph in radiographs])
    views = np.array([radiograph.view for radiograph in radiographs])
    auc = measure_auc(truth, score, groups=patients, seed=seed)
    figures: Figures = {
        "protocol": protocol,
        "radiographs": len(truth),
        "positive": int(truth.sum()),
        "patients": len(set(patients)),
        "auc": auc.value,
        "auc_low": auc.low,
        "auc_high": auc.high,
    }
    for view in sorted(set(views) - {""}):
        own = views == view
        if truth[own].any() and not truth[own].all():
            within = measure_auc(truth[own], score[own], groups=patients[own], seed=seed)
            figures |= {f"auc_{view}": within.value, f"auc_{view}_low": within.low, f"auc_{view}_high": within.high}
    if len(set(views) - {""}) > 1:
        figures["auc_view_alone"] = measure_auc(truth, (views == "PA").astype(float), groups=patients, seed=seed).value
    return figures
