"""What a model card tells, measured: on a labelled table split by split, and on radiographs of other hospitals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alta_sdk.statistics.calibration import Calibration, measure_calibration

from ..data.captioned import read_captioned
from ..data.labelled import read_labelled
from .baselines import FROZEN, PIXELS, fit_frozen, fit_pixels
from .calibration import score_probability
from .encoders import CheckpointEncoder, RememberingEncoder
from .metrics import Figures
from .other_hospital import evaluate_pairs, evaluate_shift
from .zero_shot import FindingFigures, describe_scores, evaluate_findings, evaluate_labelled

SPLITS = ("val", "test")


@dataclass(frozen=True)
class SplitFigures:
    """One split measured.

    model, pixels, frozen: the main finding, by the model and by the baselines that were fitted on the train split.
    findings: the others; left_out: those with too few positives, and how many they have.
    """

    split: str
    model: Figures
    pixels: Figures
    frozen: Figures
    calibration: Calibration
    findings: Sequence[FindingFigures]
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class OtherHospital:
    """A table of captioned radiographs: retrieval of their own words, and its finding against normal ones here."""

    name: str
    split: str
    pairs: Figures
    shift: Figures


def measure_splits(encoder: CheckpointEncoder, table: Path, finding: str) -> Iterator[SplitFigures]:
    """Measure a checkpoint and the baselines on the val split of a labelled table, then on the test split.

    Raises TrainingError for a table that does not have the three splits, or the finding in them.
    """
    train = read_labelled(table, split="train", finding=finding)
    score_pixels, score_frozen = fit_pixels(train), fit_frozen(encoder, train)
    remembering = RememberingEncoder(encoder)
    for split in SPLITS:
        radiographs = read_labelled(table, split=split, finding=finding)
        truth = np.array([radiograph.is_positive for radiograph in radiographs])
        findings, left_out = evaluate_findings(remembering, table, split, finding)
        yield SplitFigures(
            split,
            evaluate_labelled(remembering, radiographs, finding),
            describe_scores(PIXELS, radiographs, score_pixels(radiographs)),
            describe_scores(FROZEN, radiographs, score_frozen(radiographs)),
            measure_calibration(truth, score_probability(remembering, radiographs, finding)),
            findings,
            left_out,
        )


def measure_other_hospital(
    encoder: CheckpointEncoder, pairs: Path, table: Path, finding: str, split: str = "test"
) -> OtherHospital:
    """Measure a checkpoint on a split of captioned radiographs, against normal ones of a labelled table's split.

    Raises TrainingError for a table that cannot be read or lacks what is measured.
    """
    radiographs = read_captioned(pairs, split=split)
    shift = evaluate_shift(encoder, radiographs, read_labelled(table, split=split, finding=finding), finding)
    return OtherHospital(pairs.parent.name, split, evaluate_pairs(encoder, radiographs), shift)
