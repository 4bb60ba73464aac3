"""Validation during training: zero-shot AUC on labelled radiographs, retrieval between radiographs and reports.

In frontal mode, by the encoder that `alta-train evaluate` measures checkpoints with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alta_sdk.dicom.intensity import PUBLISHED

from ..data.labelled import LabelledRadiograph
from ..data.records import Record
from ..families.checkpoint import TextModel
from ..model import AltaModel
from .encoders import CheckpointEncoder, Encoder, embed_reports
from .metrics import measure_auc, precision_at
from .zero_shot import score_pair

RETRIEVED = (1, 5, 10)


@dataclass(frozen=True)
class ValidationSet:
    """What a run is validated on.

    radiographs: labelled for `finding`, which makes the pair "There is …" / "There is no …".
    pairs: studies with their own reports, for retrieval; may be empty.
    intensity_profile: how DICOM files are read: as in training.
    """

    radiographs: Sequence[LabelledRadiograph]
    finding: str
    pairs: Sequence[Record] = ()
    intensity_profile: str = PUBLISHED


def validate_model(model: AltaModel, text_model: TextModel, data: ValidationSet) -> dict[str, float]:
    """Return AUC with its 95 % interval, and precision at 1, 5, 10 both ways if there are pairs."""
    encoder = CheckpointEncoder(model, text_model, intensity_profile=data.intensity_profile)
    scores = score_pair(encoder, data.radiographs, data.finding)
    truth = np.array([radiograph.is_positive for radiograph in data.radiographs])
    auc = measure_auc(truth, scores, groups=np.array([radiograph.patient for radiograph in data.radiographs]))
    figures = {"auc": auc.value, "auc_low": auc.low, "auc_high": auc.high}
    if data.pairs:
        figures |= measure_retrieval(encoder, data.pairs)
    return figures


def measure_retrieval(encoder: Encoder, pairs: Sequence[Record]) -> dict[str, float]:
    """Return precision at k of finding a report of the same words, and of a radiograph of such a report."""
    usable = [(record.images[0], record.report) for record in pairs if record.images[0] is not None]
    frontals, reports = [frontal for frontal, _ in usable], [report for _, report in usable]
    labels = np.unique(reports, return_inverse=True)[1]
    similarity = encoder.embed_radiographs(frontals) @ embed_reports(encoder, reports).T
    return {
        f"{name}_p{k}": precision_at(matrix, labels, labels, k)
        for name, matrix in (("to_report", similarity), ("to_radiograph", similarity.T))
        for k in RETRIEVED
        if k <= len(usable)
    }
