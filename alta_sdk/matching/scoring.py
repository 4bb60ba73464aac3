"""From cosines to scores, as published: a softmax over a pair, or across labels."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..engine.label_sets import LabelSet
from ..engine.manifest_content import BEFORE_NORMALISATION
from ..engine.vectors import Vector, softmax, to_unit_length, without_warnings


def average_prompts(projections: NDArray[np.float32], average: str = BEFORE_NORMALISATION) -> Vector:
    """Average the projections (n, embedding) of one label's prompts, and bring the mean to unit length.

    average: the manifest's `prompt_average`, as the family's published evaluation does it: of the projections as
    they are (ALTA, BioViL), or of each brought to unit length first (CheXzero, open_clip).
    """
    each = projections if average == BEFORE_NORMALISATION else to_unit_length(projections)
    with without_warnings():
        mean = each.astype(np.float64).mean(axis=0)
    return to_unit_length(mean)


def score_labels(
    study: Vector, labels: LabelSet, text: Mapping[str, tuple[Vector, Vector | None]], logit_scale: float
) -> dict[str, float]:
    """Score each label for one study vector (embedding,) of unit length.

    text: the unit vectors of each label's positive and negative prompts.
    With negatives: softmax over the two cosines × logit_scale. Without: softmax across the labels.
    """
    with without_warnings():
        positive = {name: float(study @ text[name][0]) for name in labels}
        negative = {name: float(study @ vector) for name in labels if (vector := text[name][1]) is not None}
    if negative:
        return {name: float(softmax(np.array([positive[name], negative[name]]) * logit_scale)[0]) for name in labels}
    shares = softmax(np.array(list(positive.values())) * logit_scale)
    return dict(zip(positive, map(float, shares), strict=True))
