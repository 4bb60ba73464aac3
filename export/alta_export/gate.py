"""The safety gate: how far an engine is from the FP32 reference on held-out radiographs and prompts.

An engine beyond the limits is not shipped: the most sensitive layers are raised to FP32 first, and if
that is not enough the export stops with the table.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from alta_runtimes import Session
from alta_sdk.engine.manifest_content import PATCHES
from alta_sdk.engine.vectors import Vector, to_unit_length
from alta_sdk.matching.prompts import make_pair
from alta_sdk.matching.scoring import average_prompts, score_labels
from alta_sdk.statistics.auc import compute_auc

from .answers import Answers, GateInputs
from .precision import PrecisionPlan, apply_precision, read_precision
from .quantize import Ranges, find_sums, list_lowered

MEAN, WORST = "mean_cosine", "worst_cosine"
PATCH_COSINE = 0.9  # in the mean over all patches: heat maps are smoothed from them, so one alone decides nothing
MOST_RAISED = 0.5  # share of a graph's layers that may be raised before the export gives up

Embed = Callable[[Session], Mapping[str, Vector]]  # of a loaded graph: rows of vectors, by what they are of


@dataclass(frozen=True)
class GateLimits:
    """What an engine may lose. Cosines with the FP32 reference, per embedding; auc_loss where labels are given."""

    mean_cosine: float
    worst_cosine: float
    auc_loss: float = 0.005

    def find(self, name: str) -> float:
        """Return the limit of a cosine by its name, which ends in `WORST` or `MEAN`."""
        if PATCHES in name:
            return PATCH_COSINE
        return self.worst_cosine if name.endswith(WORST) else self.mean_cosine


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

    def find_violations(self, limits: GateLimits) -> list[str]:
        """Say what is beyond the limits; nothing if the engine may ship."""
        found = [
            f"{name.replace('_', ' ')} {value:.5f} (limit {limit})"
            for name, value in self.list_cosines().items()
            if not value >= (limit := limits.find(name))
        ]
        if self.auc_reference is not None and self.auc_engine is not None:
            loss = self.auc_reference - self.auc_engine
            if not loss <= limits.auc_loss:
                found.append(f"AUC loss {loss:.4f} (limit {limits.auc_loss})")
        return found

    def list_cosines(self) -> dict[str, float]:
        """Return the cosines that have a limit, by name: those that end in `WORST` are the worst, the others means."""
        names = [f"{graph}_{kind}" for graph in ("image", "text") for kind in (MEAN, WORST)]
        return {**{name: getattr(self, name) for name in names}, **self.beside}


def measure_gate(reference: Answers, engine: Answers, inputs: GateInputs) -> GateDrift:
    """Compare an engine's answers with the reference's."""
    image = _cosines(reference.radiographs, engine.radiographs)
    text = _cosines(to_unit_length(reference.prompts), to_unit_length(engine.prompts))
    before, after = (_score(answers, inputs) for answers in (reference, engine))
    aucs: list[float | None] = [None, None]
    truth = inputs.radiographs.truth
    if truth is not None:
        column = list(inputs.labels).index(inputs.finding)
        aucs = [compute_auc(scores[:, column], truth) for scores in (before, after)]
    return GateDrift(
        radiographs=len(image),
        prompts=len(text),
        image_mean_cosine=float(image.mean()),
        image_worst_cosine=float(image.min()),
        text_mean_cosine=float(text.mean()),
        text_worst_cosine=float(text.min()),
        max_score_shift=float(np.abs(before - after).max()),
        flipped_share=float(((before > 0.5) != (after > 0.5)).mean()),
        auc_reference=aucs[0],
        auc_engine=aucs[1],
        beside=_take_cosines(reference.beside, engine.beside),
    )


@dataclass(frozen=True, eq=False)
class PreciseGraph:
    """A graph in its precision, loaded as the engine will be: its plan, and how sensitive its layers are.

    sensitivity: 1 - mean cosine with that layer alone in low precision; empty if it was not needed.
    raised: of the layers that the plan keeps in FP32, those that it keeps since they drift.
    """

    graph: onnx.ModelProto
    session: Session
    plan: PrecisionPlan
    sensitivity: dict[str, float]
    raised: frozenset[str] = frozenset()

    def describe(self) -> dict[str, Any]:
        """Say it for the manifest; the precisions are read back from the graph."""
        achieved = list(read_precision(self.graph).values())
        return {
            "asked": self.plan.precision,
            "kept_in_fp32": sorted(self.plan.kept),
            "achieved": {name: achieved.count(name) for name in sorted(set(achieved))},
            "sensitivity": self.sensitivity,
        }


@dataclass(frozen=True, eq=False)
class GraphProbe:
    """One FP32 graph, how a lowered one is loaded, and how its embeddings are taken.

    embed: of all held-out inputs; probe: of a few, for measuring layer by layer. symmetric: INT8 for TensorRT.
    kept: the layers that stay in FP32 at every precision.
    """

    graph: onnx.ModelProto
    ranges: Ranges | None
    open_graph: Callable[[onnx.ModelProto], Session]
    embed: Embed
    probe: Embed
    symmetric: bool = False
    kept: frozenset[str] = frozenset()

    def lower(self, precision: str, raised: frozenset[str], sensitivity: dict[str, float]) -> PreciseGraph:
        """Bring the graph to a precision, but for the layers that are raised and those that are kept, and load it."""
        plan = PrecisionPlan(precision, raised | self.kept)
        graph = apply_precision(self.graph, plan, self.ranges, symmetric=self.symmetric)
        return PreciseGraph(graph, self.open_graph(graph), plan, sensitivity, raised)


def lower_precision(
    asked: GraphProbe, precision: str, reference: Session, target: Mapping[str, Vector]
) -> PreciseGraph:
    """Lower a graph's precision and raise its most sensitive layers to FP32 until it is within the limits.

    reference: the FP32 graph, loaded. target: the embeddings of all held-out inputs that it gives.
    Returns the last that was tried; the caller looks at what it drifts.
    """
    limits = LIMITS[precision]
    found = asked.lower(precision, frozenset(), {})
    if _is_close(target, asked.embed(found.session), limits):
        return found
    sensitivity = measure_sensitivity(asked, precision, reference)
    order = sorted(sensitivity, key=lambda name: -sensitivity[name])
    raised = 1
    while raised <= max(1, int(MOST_RAISED * len(order))):
        found = asked.lower(precision, frozenset(order[:raised]), sensitivity)
        if _is_close(target, asked.embed(found.session), limits):
            break
        raised *= 2
    return found


def measure_sensitivity(asked: GraphProbe, precision: str, reference: Session) -> dict[str, float]:
    """Return 1 - mean cosine with each layer alone in low precision, of whatever suffers most.

    A sum of convolutions is rounded only where these are, so of it: what both lose, less what these lose alone.
    """
    sums = find_sums(asked.graph)
    names = [n for n in list_lowered(asked.graph, precision, symmetric=asked.symmetric) if n not in asked.kept]
    target = asked.probe(reference)
    found: dict[str, float] = {}
    for name in names:
        summed = list(sums[name].sources.values()) if name in sums else []
        alone = asked.lower(precision, frozenset(names) - {name, *summed}, {})
        cosines = _take_cosines(target, asked.probe(alone.session))
        loss = 1.0 - min(value for cosine, value in cosines.items() if cosine.endswith(MEAN))
        found[name] = max(0.0, loss - sum(found.get(one, 0.0) for one in summed)) if summed else loss
    return found


def summarise(drift: GateDrift, limits: GateLimits, *, accepted: bool, source: str) -> dict[str, Any]:
    """Say the gate's result for the manifest."""
    figures = asdict(drift)
    beside = figures.pop("beside")
    of_patches = {"patch_cosine": PATCH_COSINE} if any(PATCHES in name for name in beside) else {}
    return {
        **figures,
        **beside,
        "limits": {**asdict(limits), **of_patches},
        "beyond_limits": drift.find_violations(limits),
        "drift_accepted": accepted,
        "held_out": source,
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


def _score(answers: Answers, inputs: GateInputs) -> NDArray[np.float64]:
    """Return each label's score for each radiograph: (n, labels)."""
    text = {
        name: (average_prompts(answers.prompts[[yes]]), average_prompts(answers.prompts[[no]]))
        for name, (yes, no) in inputs.labels.items()
    }
    labels = {name: make_pair(name) for name in inputs.labels}
    scored = [score_labels(vector, labels, dict(text), inputs.logit_scale) for vector in answers.radiographs]
    return np.array([list(scores.values()) for scores in scored])


def _is_close(reference: Mapping[str, Vector], computed: Mapping[str, Vector], limits: GateLimits) -> bool:
    return all(value >= limits.find(name) for name, value in _take_cosines(reference, computed).items())


def _take_cosines(reference: Mapping[str, Vector], computed: Mapping[str, Vector]) -> dict[str, float]:
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
