"""The graphs of an engine, each brought to its precision by what its own embeddings lose.

A fuse graph reads features that the image graph gives, so the image graph is judged by pairs, too: a layer that only
pairs suffer from is raised as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx

from alta_runtimes import Session, load
from alta_sdk.engine.heads import Head
from alta_sdk.engine.manifest_content import FUSE, IMAGE, TEXT, compute_type
from alta_sdk.engine.self_test import PAIRED
from alta_sdk.engine.vectors import Vector
from alta_sdk.study.geometry import Geometry
from alta_sdk.study.slots import Slot

from .answers import Answers, GateInputs, embed_pairs, embed_radiographs, pair_with_next, project_prompts, see
from .calibration import Calibration
from .decisions import ScoreDrift
from .gate import measure_scores
from .graph import find_products
from .options import ExportOptions
from .quantize import find_pixel_products
from .raising import Embed, GraphProbe, PreciseGraph, Score, lower_precision
from .ranges import Arrays

PROBED = 12  # radiographs that each layer's sensitivity is measured on
Graphs = dict[str, onnx.ModelProto]


@dataclass(frozen=True, eq=False)
class Reference:
    """The FP32 engine that others are compared with.

    geometry: of the radiographs that it reads. slots: that its family reads. inputs: of its graphs, by name. kept: of
    its graphs, by name, the layers that stay in FP32 at every precision.
    """

    graphs: Graphs
    head: Head
    logit_scale: float
    checkpoint_sha256: str
    geometry: Geometry
    slots: tuple[Slot, ...]
    inputs: Mapping[str, tuple[str, ...]]
    kept: Mapping[str, tuple[str, ...]]

    @property
    def reads_slot(self) -> bool:
        """Tell whether the image graph reads a radiograph's slot."""
        return "slot" in self.inputs[IMAGE]


@dataclass(frozen=True, eq=False)
class AskedGraph:
    """What one graph is asked. session: of the FP32 graph. inputs: that are held out. embed, probe: of GraphProbe.

    target: what the FP32 graph answers. score: of GraphProbe.
    """

    session: Session
    inputs: Sequence[Arrays]
    embed: Embed
    probe: Embed
    target: Mapping[str, Vector]
    score: Score | None = None


def ask_graphs(head: Head, opened: Mapping[str, Session], inputs: GateInputs, truth: Answers) -> dict[str, AskedGraph]:
    """Return what each of the FP32 graphs, loaded, is asked. truth: what all of them together have answered."""
    held = inputs.radiographs
    few = held.take(np.arange(min(PROBED, len(held))))
    embed = partial(embed_radiographs, head=head, fuse=opened.get(FUSE))

    def ask(session: Session) -> dict[str, Vector]:
        return {TEXT: project_prompts(session, inputs.prompts)}

    def score_images(found: Mapping[str, Vector]) -> ScoreDrift:
        return measure_scores(truth, Answers(found[IMAGE], truth.prompts), inputs)

    def score_prompts(found: Mapping[str, Vector]) -> ScoreDrift:
        return measure_scores(truth, Answers(truth.radiographs, found[TEXT]), inputs)

    found = {
        IMAGE: AskedGraph(
            opened[IMAGE],
            list(held.inputs()),
            partial(embed, radiographs=held),
            partial(embed, radiographs=few),
            {IMAGE: truth.radiographs, **truth.beside},
            score_images,
        ),
        TEXT: AskedGraph(opened[TEXT], inputs.prompts, ask, ask, {TEXT: truth.prompts}, score_prompts),
    }
    if FUSE in opened:
        pairs = pair_with_next(see(opened[IMAGE], held.inputs()).features)
        found[FUSE] = AskedGraph(
            opened[FUSE],
            pairs,
            partial(embed_pairs, pairs=pairs),
            partial(embed_pairs, pairs=pairs[: len(few)]),
            {name: vectors for name, vectors in truth.beside.items() if name.startswith(PAIRED)},
        )
    return found


def lower_graphs(
    options: ExportOptions, reference: Reference, calibration: Calibration | None, asked: Mapping[str, AskedGraph]
) -> dict[str, PreciseGraph]:
    """Bring each graph to the precision that was asked for, as far as its own embeddings allow it."""
    bases = calibration.smooth(reference.graphs) if calibration else reference.graphs
    ranges = calibration.ranges if calibration else {}
    return {
        name: lower_precision(
            GraphProbe(
                bases[name],
                ranges.get(name),
                partial(open_engine_graph, options),
                one.embed,
                one.probe,
                symmetric=options.engine == "trt",
                kept=find_kept(options, bases[name], reference.kept.get(name, ())),
                score=one.score,
            ),
            options.precision,
            one.session,
            one.target,
        )
        for name, one in asked.items()
    }


def find_kept(options: ExportOptions, graph: onnx.ModelProto, layers: tuple[str, ...]) -> frozenset[str]:
    """Return the products that stay in FP32: those of the layers named, and in INT8 the one that reads pixels.

    What is lost there is lost for all that follow, and it has one channel to make up for it.
    """
    if options.precision == "fp32":
        return frozenset()
    named = {name for name in find_products(graph) if name.split(".")[0] in layers}
    return frozenset(named | (find_pixel_products(graph) if options.precision == "int8" else set()))


def open_engine_graph(options: ExportOptions, graph: onnx.ModelProto) -> Session:
    """Load a graph as the engine will be: by OpenVINO for its engines and for BF16, else by onnxruntime."""
    compute = compute_type(options.precision)
    runtime = "openvino" if options.engine == "openvino" or compute == "bf16" else "onnxruntime"
    return load(graph.SerializeToString(), runtime=runtime, compute=compute)
