"""The safety gate: how far an engine is from the FP32 reference on held-out radiographs and prompts.

An engine beyond the limits is not shipped: the most sensitive layers are raised to FP32 first (`raising.py`), and if
that is not enough the export stops with the table.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alta_sdk.engine.manifest_content import PATCHES
from alta_sdk.engine.vectors import Vector, to_unit_length
from alta_sdk.matching.prompts import make_pair

from .answers import Answers, GateInputs
from .decisions import ScoreDrift, compare_auc, compare_scores, score_radiographs
from .evidence import MIN_HELD_OUT, count_patients

MEAN, WORST = "mean_cosine", "worst_cosine"
PATCH_COSINE = 0.9  # in the mean over all patches: heat maps are smoothed from them, so one alone decides nothing


@dataclass(frozen=True)
class GateLimits:
    """What an engine may lose. Cosines with the FP32 reference, per embedding; auc_loss where labels are given.

    flipped_share: of decisions. score_shift: the largest of a label's score.
    """

    mean_cosine: float
    worst_cosine: float
    auc_loss: float = 0.005
    flipped_share: float = 0.01
    score_shift: float = 0.05

    def find(self, name: str) -> float:
        """Return the limit of a cosine by its name, which ends in `WORST` or `MEAN`."""
        if PATCHES in name:
            return PATCH_COSINE
        return self.worst_cosine if name.endswith(WORST) else self.mean_cosine

    def find_changed_scores(self, max_score_shift: float, flipped_share: float) -> list[str]:
        """Say in what scores change beyond the limits."""
        found = []
        if not max_score_shift <= self.score_shift:
            found.append(f"largest shift of a score {max_score_shift:.4f} (limit {self.score_shift})")
        if not flipped_share <= self.flipped_share:
            found.append(f"flipped decisions {100 * flipped_share:.2f} % (limit {100 * self.flipped_share:g} %)")
        return found


LIMITS = {
    "fp32": GateLimits(0.99999, 0.99999),
    "fp16": GateLimits(0.999, 0.999),
    "bf16": GateLimits(0.99, 0.97),
    "int8": GateLimits(0.99, 0.97),
}


@dataclass(frozen=True)
class GateDrift:
    """The gate's figures. score shift: largest change of a label's score. flipped: share of changed decisions.

    beside: mean and worst cosines by name, and those of patches in the mean alone, of families that have them.
    patients: None if they are not told. decisions: of all radiographs and labels, at the thresholds by label.
    auc_loss_low, auc_loss_high: 95 % interval of the loss of AUC, by bootstrap of whole patients, or of radiographs.
    """

    radiographs: int
    prompts: int
    image_mean_cosine: float
    image_worst_cosine: float
    text_mean_cosine: float
    text_worst_cosine: float
    max_score_shift: float
    flipped_share: float
    auc_reference: float | None
    auc_engine: float | None
    beside: Mapping[str, float] = field(default_factory=dict)
    patients: int | None = None
    decisions: int = 0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    auc_loss_low: float | None = None
    auc_loss_high: float | None = None

    @property
    def auc_loss(self) -> float | None:
        """The reference's AUC less the engine's; None without truth."""
        if self.auc_reference is None or self.auc_engine is None:
            return None
        return self.auc_reference - self.auc_engine

    def find_violations(self, limits: GateLimits) -> list[str]:
        """Say what is beyond the limits; nothing if the engine may ship."""
        found = [
            f"{name.replace('_', ' ')} {value:.5f} (limit {limit})"
            for name, value in self.list_cosines().items()
            if not value >= (limit := limits.find(name))
        ]
        found += limits.find_changed_scores(self.max_score_shift, self.flipped_share)
        if self.auc_loss is not None and not self.auc_loss <= limits.auc_loss:
            found.append(f"AUC loss {self.auc_loss:.4f} (limit {limits.auc_loss})")
        return found

    def list_cosines(self) -> dict[str, float]:
        """Return the cosines that have a limit, by name: those that end in `WORST` are the worst, the others means."""
        names = [f"{graph}_{kind}" for graph in ("image", "text") for kind in (MEAN, WORST)]
        return {**{name: getattr(self, name) for name in names}, **self.beside}


def measure_gate(reference: Answers, engine: Answers, inputs: GateInputs) -> GateDrift:
    """Compare an engine's answers with the reference's."""
    image = _cosines(reference.radiographs, engine.radiographs)
    text = _cosines(to_unit_length(reference.prompts), to_unit_length(engine.prompts))
    before, after = (score_radiographs(answers, inputs) for answers in (reference, engine))
    changed, auc = compare_scores(before, after, inputs), compare_auc(before, after, inputs)
    return GateDrift(
        radiographs=len(image),
        prompts=len(text),
        image_mean_cosine=float(image.mean()),
        image_worst_cosine=float(image.min()),
        text_mean_cosine=float(text.mean()),
        text_worst_cosine=float(text.min()),
        **vars(changed),
        auc_reference=None if auc is None else auc.reference,
        auc_engine=None if auc is None else auc.engine,
        beside=take_cosines(reference.beside, engine.beside),
        patients=count_patients(inputs.radiographs),
        auc_loss_low=None if auc is None else auc.loss.low,
        auc_loss_high=None if auc is None else auc.loss.high,
    )


def measure_scores(reference: Answers, engine: Answers, inputs: GateInputs) -> ScoreDrift:
    """Compare the scores alone."""
    return compare_scores(score_radiographs(reference, inputs), score_radiographs(engine, inputs), inputs)


def summarise(drift: GateDrift, limits: GateLimits, *, accepted: bool, source: str, evidence: str) -> dict[str, Any]:
    """Say the gate's result for the manifest."""
    figures = asdict(drift)
    beside = figures.pop("beside")
    of_patches = {"patch_cosine": PATCH_COSINE} if any(PATCHES in name for name in beside) else {}
    return {
        **figures,
        **beside,
        "auc_loss": drift.auc_loss,
        "limits": {**asdict(limits), **of_patches, "radiographs": MIN_HELD_OUT},
        "beyond_limits": drift.find_violations(limits),
        "drift_accepted": accepted,
        "held_out": source,
        "evidence": evidence,
    }


def make_labels(names: list[str]) -> tuple[list[str], dict[str, tuple[int, int]]]:
    """Return the prompts of pairs "There is …" / "There is no …", and the rows of each label's two."""
    prompts: list[str] = []
    rows = {}
    for name in names:
        pair = make_pair(name.replace("_", " ").lower())
        rows[name] = (len(prompts), len(prompts) + 1)
        prompts += [*pair.positive, *pair.negative]
    return prompts, rows


def are_close(reference: Mapping[str, Vector], computed: Mapping[str, Vector], limits: GateLimits) -> bool:
    """Tell whether embeddings, by their kind, are within the limits of their cosines."""
    return all(value >= limits.find(name) for name, value in take_cosines(reference, computed).items())


def take_cosines(reference: Mapping[str, Vector], computed: Mapping[str, Vector]) -> dict[str, float]:
    """Return mean and worst cosine of each kind of vector, by its name and `MEAN` or `WORST`; of patches the mean."""
    return {
        f"{name}_{kind}": float(of(cosines))
        for name in reference
        for cosines in [_cosines(reference[name], computed[name])]
        for kind, of in ((MEAN, np.mean), (WORST, np.min))
        if kind == MEAN or PATCHES not in name
    }


def _cosines(reference: Vector, computed: Vector) -> NDArray[np.float64]:
    one, other = (to_unit_length(v).astype(np.float64) for v in (reference, computed))
    return np.asarray((one * other).sum(axis=1))
