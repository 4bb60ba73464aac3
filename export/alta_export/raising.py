"""Bring a graph to a precision, and raise what it cannot bear: its most sensitive layers go back to FP32.

A graph is judged by its own embeddings and by the scores that these make with the reference's other half.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from alta_runtimes import Session
from alta_sdk.engine.vectors import Vector

from .decisions import ScoreDrift
from .gate import LIMITS, MEAN, GateLimits, are_close, take_cosines
from .precision import PrecisionPlan, apply_precision, read_precision
from .quantize import Ranges, find_sums, list_lowered

MOST_RAISED = 0.5  # share of a graph's layers that may be raised before the export gives up

Embed = Callable[[Session], Mapping[str, Vector]]  # of a loaded graph: rows of vectors, by what they are of
Score = Callable[[Mapping[str, Vector]], ScoreDrift]  # what these vectors do to the scores


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
    kept: the layers that stay in FP32 at every precision. score: of what `embed` gives; None where no score reads it.
    """

    graph: onnx.ModelProto
    ranges: Ranges | None
    open_graph: Callable[[onnx.ModelProto], Session]
    embed: Embed
    probe: Embed
    symmetric: bool = False
    kept: frozenset[str] = frozenset()
    score: Score | None = None

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
    if _is_within(asked, found, target, limits):
        return found
    sensitivity = measure_sensitivity(asked, precision, reference)
    order = sorted(sensitivity, key=lambda name: -sensitivity[name])
    raised = 1
    while raised <= max(1, int(MOST_RAISED * len(order))):
        found = asked.lower(precision, frozenset(order[:raised]), sensitivity)
        if _is_within(asked, found, target, limits):
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
        cosines = take_cosines(target, asked.probe(alone.session))
        loss = 1.0 - min(value for cosine, value in cosines.items() if cosine.endswith(MEAN))
        found[name] = max(0.0, loss - sum(found.get(one, 0.0) for one in summed)) if summed else loss
    return found


def _is_within(asked: GraphProbe, found: PreciseGraph, target: Mapping[str, Vector], limits: GateLimits) -> bool:
    computed = asked.embed(found.session)
    if not are_close(target, computed, limits):
        return False
    if asked.score is None:
        return True
    changed = asked.score(computed)
    return not limits.find_changed_scores(changed.max_score_shift, changed.flipped_share)
