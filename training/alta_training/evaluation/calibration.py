"""The scores whose calibration a model card tells: those of "There is …" against "There is no …"."""

from collections.abc import Sequence

import numpy as np

from alta_sdk.engine.label_sets import LabelSet
from alta_sdk.matching.prompts import make_pair
from alta_sdk.matching.scoring import score_labels
from alta_sdk.statistics.calibration import Probabilities

from ..data.labelled import LabelledRadiograph, spell_finding
from .encoders import Encoder, embed_label


def score_probability(encoder: Encoder, radiographs: Sequence[LabelledRadiograph], finding: str) -> Probabilities:
    """Return the scores of "There is …" against "There is no …" as a Matcher gives them: (n,) float64, 0 to 1."""
    name = spell_finding(finding)
    labels: LabelSet = {name: make_pair(name, encoder.asking.prompt_pair)}
    text = {name: (embed_label(encoder, labels[name].positive), embed_label(encoder, labels[name].negative))}
    vectors = encoder.embed_radiographs([radiograph.path for radiograph in radiographs])
    return np.array([score_labels(vector, labels, text, encoder.logit_scale)[name] for vector in vectors])
