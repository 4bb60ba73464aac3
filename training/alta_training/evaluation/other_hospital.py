"""A data set of other hospitals: does a radiograph find its own words, and is its pneumonia one here, too?"""

from collections.abc import Mapping, Sequence
from math import comb

import numpy as np
from numpy.typing import NDArray

from alta_sdk.engine.vectors import Vector
from alta_sdk.errors import TrainingError
from alta_sdk.statistics.intervals import bootstrap

from ..data.captioned import CaptionedRadiograph
from ..data.labelled import LabelledRadiograph
from .encoders import Encoder, embed_reports
from .metrics import Figures, measure_auc
from .zero_shot import score_pair

RECALLED = (1, 5, 10)
DIRECTIONS = ("to_caption", "to_image")
# Which names of a table are a finding, in lower case: the COVID-19 Image Data Collection names a pneumonia by its
# cause alone. ARDS is not among them: it has other causes as well.
KINDS: Mapping[str, frozenset[str]] = {
    "pneumonia": frozenset(
        "pneumonia|covid-19|varicella|bacterial|streptococcus|klebsiella|e.coli|legionella|chlamydophila|"
        "mycoplasma bacterial pneumonia|pneumocystis|lipoid".split("|")
    )
}


def evaluate_pairs(encoder: Encoder, radiographs: Sequence[CaptionedRadiograph], *, seed: int = 0) -> Figures:
    """Return recall at 1, 5 and 10 of radiograph to caption and back, with chance and intervals by patient.

    A hit is a candidate with the query's own words among the k nearest: captions of one follow-up may be equal.
    Chance: the mean over queries of the probability that k candidates drawn blindly hold such a one; k / n
    where no caption is equal to another. Raises TrainingError for fewer than two captions.
    """
    pairs = [radiograph for radiograph in radiographs if radiograph.caption]
    captions = [pair.caption for pair in pairs]
    words = np.unique([caption.lower() for caption in captions], return_inverse=True)[1]
    if len(set(words)) < 2:
        raise TrainingError("retrieval needs two different captions: the split has fewer")
    patients = np.array([pair.patient for pair in pairs])
    similarity = encoder.embed_radiographs([pair.path for pair in pairs]) @ embed_reports(encoder, captions).T
    figures: Figures = {
        "protocol": "radiographs and their own captions",
        "pairs": len(pairs),
        "captions": len(set(words)),
        "patients": len(set(patients)),
    }
    for direction, matrix in zip(DIRECTIONS, (similarity, similarity.T), strict=True):
        for k in RECALLED:
            if k <= len(pairs):
                figures |= _recall(f"{direction}_r{k}", find_hits(matrix, words, k), patients, seed)
                figures[f"{direction}_r{k}_chance"] = chance_of_hit(words, k)
    return figures


def evaluate_shift(
    encoder: Encoder,
    radiographs: Sequence[CaptionedRadiograph],
    normal: Sequence[LabelledRadiograph],
    finding: str,
    *,
    seed: int = 0,
) -> Figures:
    """Return the AUC of the finding's radiographs here against normal ones of another table, by patient.

    What names the finding is in KINDS, else its own name. Another scanner and another cropping separate the two
    tables as well. Raises TrainingError if no radiograph has the finding, or none is normal.
    """
    names = KINDS.get(finding.lower(), {finding.lower()})
    here = [
        LabelledRadiograph(one.path, f"here {one.patient}", "", True) for one in radiographs if one.findings & names
    ]
    there = [LabelledRadiograph(one.path, f"there {one.patient}", "", False) for one in normal if not one.is_positive]
    both = [*here, *there]
    truth, patients = np.array([one.is_positive for one in both]), np.array([one.patient for one in both])
    auc = measure_auc(truth, score_pair(encoder, both, finding), groups=patients, seed=seed)
    return {
        "protocol": "across hospitals",
        "positive": len(here),
        "positive_patients": len({one.patient for one in here}),
        "normal": len(there),
        "auc": auc.value,
        "auc_low": auc.low,
        "auc_high": auc.high,
    }


def find_hits(similarity: Vector, words: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    """Tell of each query (a row) whether one of its k nearest candidates has the query's words: (n,) bool.

    similarity: (n, n). words: (n,) the same number for equal captions.
    """
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return np.asarray((words[nearest] == words[:, None]).any(axis=1))


def chance_of_hit(words: NDArray[np.int64], k: int) -> float:
    """Return the mean probability that k of n candidates, drawn without looking, hold one with a query's words."""
    count = len(words)
    equal = np.bincount(words)[words]  # candidates with the words of each query, its own among them
    return float(np.mean([1 - comb(count - own, k) / comb(count, k) for own in equal.tolist()]))


def _recall(name: str, hits: NDArray[np.bool_], patients: NDArray[np.str_], seed: int) -> Figures:
    recall = bootstrap(lambda rows: float(np.mean(hits[rows])), len(hits), groups=patients, seed=seed)
    return {name: recall.value, f"{name}_low": recall.low, f"{name}_high": recall.high}
