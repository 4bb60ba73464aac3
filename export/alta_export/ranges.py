"""Ranges of the inputs of a graph's products, observed on real radiographs and prompts.

The histograms, percentiles and entropies are onnxruntime's. It has no least-squares range, and its
calibrators keep every attention map of every radiograph in memory: so the graph is run here, one
input at a time, with the products' inputs as further outputs.
"""

import contextlib
import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from alta_runtimes import load

from .graph import find_products
from .quantize import list_ranged_tensors

PERCENTILE = 99.999
BINS = {"percentile": 2048, "mse": 2048, "entropy": 128}
LEVELS = 255  # steps of an 8-bit range
CLIPPINGS = np.linspace(0.3, 1.0, 71)  # shares of the whole range that are tried
Arrays = Mapping[str, NDArray[Any]]


def measure_ranges(
    graph: onnx.ModelProto, inputs: Iterable[Arrays], method: str, *, outputs: bool = False
) -> dict[str, tuple[float, float]]:
    """Return the ranges that INT8 needs (or of each product's output) by name, over all inputs of an FP32 graph.

    Raises EngineError if the graph cannot be run.
    """
    from onnxruntime.quantization.calibrate import HistogramCollector

    sources = list_ranged_tensors(graph)
    if outputs:
        sources = {name: node.output[0] for name, node in find_products(graph).items()}
    session = load(expose_tensors(graph, sorted(set(sources.values()))).SerializeToString(), runtime="onnxruntime")
    collector = HistogramCollector(
        method="entropy" if method == "entropy" else "percentile",
        symmetric=False,
        num_bins=BINS.get(method, 1),
        num_quantized_bins=BINS["entropy"],
        percentile=PERCENTILE,
        scenario=None,
    )
    for one in inputs:
        seen = session.run(one)
        with _quiet():
            collector.collect({name: [seen[name]] for name in set(sources.values())})
    histograms = collector.get_histogram_dict()  # counts, edges, lowest, highest, threshold
    if method == "minmax":
        found = {name: histogram[2:4] for name, histogram in histograms.items()}
    elif method == "mse":
        found = {name: _least_squares(*histogram[:4]) for name, histogram in histograms.items()}
    else:
        with _quiet():
            found = collector.compute_collection_result()
    return {name: (float(found[source][0]), float(found[source][1])) for name, source in sources.items()}


def _quiet() -> contextlib.AbstractContextManager[Any]:
    return contextlib.redirect_stdout(io.StringIO())  # the collector prints what it does


def expose_tensors(graph: onnx.ModelProto, tensors: list[str]) -> onnx.ModelProto:
    """Return a copy that gives further tensors as outputs; their shapes are left open."""
    opened = onnx.ModelProto()
    opened.CopyFrom(graph)
    known = {value.name for value in opened.graph.output}
    opened.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors if name not in known
    )
    return opened


def _least_squares(
    counts: NDArray[np.int64], edges: NDArray[np.float64], lowest: float, highest: float
) -> tuple[float, float]:
    """Return the share of the range lowest..highest whose 8-bit rounding and clipping lose the least."""
    centres = (edges[:-1] + edges[1:]) / 2
    best = (np.inf, lowest, highest)
    for share in CLIPPINGS:
        low, high = lowest * share, highest * share
        clipped = np.clip(centres, low, high)
        rounding = ((high - low) / LEVELS) ** 2 / 12
        loss = float((counts * (centres - clipped) ** 2).sum() + counts[clipped == centres].sum() * rounding)
        best = min(best, (loss, low, high))
    return best[1], best[2]
