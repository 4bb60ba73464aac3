"""The safety gate: how far an engine is from the FP32 reference on held-out radiographs and prompts.

An engine beyond the limits is not shipped: the most sensitive layers are raised to FP32 first, and if
that is not enough the export stops with the table.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from alta_runtimes import Session
from alta_sdk.engine.heads import Head
from alta_sdk.engine.vectors import Vector, to_unit_length
from alta_sdk.matching.prompts import make_pair
from alta_sdk.matching.scoring import average_prompts, score_labels
from alta_sdk.statistics.auc import compute_auc

from .graph import find_products
from .precision import PrecisionPlan, Ranges, apply_precision, read_precision
from .radiographs import Radiographs
from .ranges import Arrays
from .verify import take_vectors

MOST_RAISED = 0.5  # share of a graph's layers that may be raised before the export gives up


@dataclass(frozen=True)
class GateLimits:
    """What an engine may lose. Cosines with the FP32 reference, per embedding; auc_loss where labels are given."""

    mean_cosine: float
    worst_cosine: float
    auc_loss: float = 0.005


LIMITS = {
    "fp32": GateLimits(0.99999, 0.99999),
    "fp16": GateLimits(0.999, 0.999),
    "bf16": GateLimits(0.99, 0.97),
    "int8": GateLimits(0.99, 0.97),
}


@dataclass(frozen=True, eq=False)
class GateInputs:
    """What both engines are asked. prompts: token batches. labels: rows of a positive and a negative prompt."""

    radiographs: Radiographs
    prompts: list[Arrays]
    labels: Mapping[str, tuple[int, int]]
    finding: str
    logit_scale: float


@dataclass(frozen=True, eq=False)
class Answers:
    """Unit-length embeddings of radiographs (n, embedding), and projections of prompts (m, embedding)."""

    radiographs: Vector
    prompts: Vector


@dataclass(frozen=True)
class GateDrift:
    """The gate's figures. score shift: largest change of a label's score. flipped: share of changed decisions."""

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

    def find_violations(self, limits: GateLimits) -> list[str]:
        """Say what is beyond the limits; nothing if the engine may ship."""
        found = [
            f"{graph} {kind} cosine {value:.5f} (limit {limit})"
            for graph in ("image", "text")
            for kind, limit in (("mean", limits.mean_cosine), ("worst", limits.worst_cosine))
            if not (value := getattr(self, f"{graph}_{kind}_cosine")) >= limit
        ]
        if self.auc_reference is not None and self.auc_engine is not None:
            loss = self.auc_reference - self.auc_engine
            if not loss <= limits.auc_loss:
                found.append(f"AUC loss {loss:.4f} (limit {limits.auc_loss})")
        return found


def answer(image: Session, text: Session, head: Head, inputs: GateInputs) -> Answers:
    """Ask one pair of loaded graphs."""
    return Answers(embed_radiographs(image, head, inputs.radiographs), project_prompts(text, inputs.prompts))


def embed_radiographs(session: Session, head: Head, radiographs: Radiographs) -> Vector:
    """Embed radiographs one by one, as the SDK runs them: (n, embedding), unit length."""
    vectors = [take_vectors(session.run(one))[0] for one in radiographs.inputs()]
    return to_unit_length(head.project(np.stack(vectors)))


def project_prompts(session: Session, prompts: list[Arrays]) -> Vector:
    """Project token batches: (m, embedding), not normalised."""
    return np.concatenate([session.run(batch)["projection"] for batch in prompts])


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
    )


@dataclass(frozen=True, eq=False)
class PreciseGraph:
    """A graph in its precision, loaded as the engine will be: its plan, and how sensitive its layers are.

    sensitivity: 1 - mean cosine with that layer alone in low precision; empty if it was not needed.
    """

    graph: onnx.ModelProto
    session: Session
    plan: PrecisionPlan
    sensitivity: dict[str, float]

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
    """

    graph: onnx.ModelProto
    ranges: Ranges | None
    open_graph: Callable[[onnx.ModelProto], Session]
    embed: Callable[[Session], Vector]
    probe: Callable[[Session], Vector]
    symmetric: bool = False

    def lower(self, plan: PrecisionPlan, sensitivity: dict[str, float]) -> PreciseGraph:
        """Bring the graph to a plan and load it."""
        graph = apply_precision(self.graph, plan, self.ranges, symmetric=self.symmetric)
        return PreciseGraph(graph, self.open_graph(graph), plan, sensitivity)


def lower_precision(asked: GraphProbe, precision: str, reference: Session) -> PreciseGraph:
    """Lower a graph's precision and raise its most sensitive layers to FP32 until it is within the limits.

    reference: the FP32 graph, loaded. Returns the last that was tried; the caller looks at what it drifts.
    """
    limits, target = LIMITS[precision], asked.embed(reference)
    found = asked.lower(PrecisionPlan(precision), {})
    if _is_close(_cosines(target, asked.embed(found.session)), limits):
        return found
    sensitivity = measure_sensitivity(asked, precision, reference)
    order = sorted(sensitivity, key=lambda name: -sensitivity[name])
    raised = 1
    while raised <= max(1, int(MOST_RAISED * len(order))):
        found = asked.lower(PrecisionPlan(precision, frozenset(order[:raised])), sensitivity)
        if _is_close(_cosines(target, asked.embed(found.session)), limits):
            break
        raised *= 2
    return found


def measure_sensitivity(asked: GraphProbe, precision: str, reference: Session) -> dict[str, float]:
    """Return 1 - mean cosine with each layer alone in low precision."""
    names, target = list(find_products(asked.graph)), asked.probe(reference)
    found = {}
    for name in names:
        alone = asked.lower(PrecisionPlan(precision, frozenset(names) - {name}), {})
        found[name] = 1.0 - float(_cosines(target, asked.probe(alone.session)).mean())
    return found


def summarise(drift: GateDrift, limits: GateLimits, *, accepted: bool, source: str) -> dict[str, Any]:
    """Say the gate's result for the manifest."""
    return {
        **asdict(drift),
        "limits": asdict(limits),
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


def _is_close(cosines: NDArray[np.float64], limits: GateLimits) -> bool:
    return bool(cosines.mean() >= limits.mean_cosine and cosines.min() >= limits.worst_cosine)


def _cosines(reference: Vector, computed: Vector) -> NDArray[np.float64]:
    one, other = (to_unit_length(v).astype(np.float64) for v in (reference, computed))
    return np.asarray((one * other).sum(axis=1))
