"""SmoothQuant: move part of the activations' spread into the weights, before INT8, without changing the result.

An activation has one range for all channels, so a few large channels leave few steps for the others. A product
after a layer norm can take them over: the norm's scale and bias are divided by a factor per channel, the rows of
the weights multiplied by it. In FP32 that is exact. Only norms that feed nothing but products with a weight can
be folded so: in the image tower's blocks and the text tower's heads, not in the text tower's layers, whose norms
feed the residual stream as well.

onnxruntime's own option needs a package that no longer exists. It is used only where it measures better.

Source: Xiao et al., SmoothQuant, ICML 2023, equation 4, with the strength of the paper's default.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from alta_runtimes import load
from alta_sdk.engine.vectors import to_unit_length

from .graph import find_products
from .precision import PrecisionPlan, apply_precision
from .quantize import Ranges
from .ranges import Arrays, expose_tensors, measure_ranges

STRENGTH = 0.5
JUDGED_EVERY = 4
SmoothingFactors = Mapping[str, Sequence[float]]  # a factor per channel, by the first product that a norm feeds


@dataclass(frozen=True, eq=False)
class FoldableNorm:
    """A layer norm all of whose readers are products with a weight of their own."""

    node: onnx.NodeProto
    products: tuple[onnx.NodeProto, ...]


def find_foldable_norms(graph: onnx.ModelProto) -> dict[str, FoldableNorm]:
    """Return the norms that can be smoothed, by the name of the first product that each feeds."""
    weights = {item.name for item in graph.graph.initializer}
    products = find_products(graph).keys()
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = {}
    for node in graph.graph.node:
        if node.op_type != "LayerNormalization" or len(node.input) != 3 or not set(node.input[1:]) <= weights:
            continue
        fed = readers.get(node.output[0], [])
        own = (*node.input[1:], *(reader.input[1] for reader in fed if reader.name in products))
        if fed and all(reader.name in products for reader in fed) and all(len(readers[name]) == 1 for name in own):
            found[fed[0].name] = FoldableNorm(node, tuple(fed))
    return found


def choose_smoothing(
    graph: onnx.ModelProto, ranges: Ranges, inputs: Sequence[Arrays], method: str
) -> tuple[SmoothingFactors, Ranges]:
    """Return the factors and the ranges that INT8 drifts least with: smoothed ones, or none and those given.

    Factors are taken from most of the inputs and judged on every fourth, by the mean and the worst cosine of the
    graph's first output with FP32: on the inputs that they were taken from they always look well.
    """
    norms = find_foldable_norms(graph)
    held = inputs[JUDGED_EVERY - 1 :: JUDGED_EVERY]
    shown = [one for i, one in enumerate(inputs) if i % JUDGED_EVERY != JUDGED_EVERY - 1]
    if not norms or not held:
        return {}, ranges
    smoothed = fold_smoothing(graph, find_factors(graph, norms, measure_channel_peaks(graph, norms, shown)))
    target = _first_output(graph, held)
    plain, folded = (
        (target * _first_output(apply_precision(base, PrecisionPlan("int8"), own), held)).sum(axis=-1)
        for base, own in ((g, measure_ranges(g, shown, method)) for g in (graph, smoothed))
    )
    if folded.mean() <= plain.mean() or folded.min() <= plain.min():
        return {}, ranges
    factors = find_factors(graph, norms, measure_channel_peaks(graph, norms, inputs))
    return factors, measure_ranges(fold_smoothing(graph, factors), inputs, method)


def measure_channel_peaks(
    graph: onnx.ModelProto, norms: Mapping[str, FoldableNorm], inputs: Iterable[Arrays]
) -> dict[str, NDArray[np.float32]]:
    """Return the largest absolute value (channels,) of each norm's output over all inputs."""
    sources = {name: norm.node.output[0] for name, norm in norms.items()}
    session = load(expose_tensors(graph, sorted(sources.values())).SerializeToString(), runtime="onnxruntime")
    peaks: dict[str, NDArray[np.float32]] = {}
    for one in inputs:
        seen = session.run(one)
        for name, source in sources.items():
            peak = np.abs(seen[source]).max(axis=tuple(range(seen[source].ndim - 1)))
            peaks[name] = np.maximum(peaks.get(name, peak), peak)
    return peaks


def find_factors(
    graph: onnx.ModelProto, norms: Mapping[str, FoldableNorm], peaks: Mapping[str, NDArray[np.float32]]
) -> dict[str, list[float]]:
    """Balance activations and weights: peak^strength / largest weight^(1 - strength), per channel."""
    weights = {item.name: item for item in graph.graph.initializer}
    factors = {}
    for name, norm in norms.items():
        largest = np.max([_by_channel(weights, product).max(axis=1) for product in norm.products], axis=0)
        used = (peaks[name] > 0) & (largest > 0)  # a channel that is always zero, or never read, has nothing to balance
        safe = np.where(used, peaks[name], 1) ** STRENGTH / np.where(used, largest, 1) ** (1 - STRENGTH)
        factors[name] = [float(value) for value in np.where(used, safe, 1)]
    return factors


def fold_smoothing(graph: onnx.ModelProto, factors: SmoothingFactors) -> onnx.ModelProto:
    """Return a copy whose norms give 1/factor of each channel, and whose products expect that."""
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    stored = {item.name: item for item in changed.graph.initializer}
    for name, norm in find_foldable_norms(changed).items():
        if name not in factors:
            continue
        factor = np.array(factors[name], dtype=np.float64)
        for vector in norm.node.input[1:]:
            _store(stored[vector], numpy_helper.to_array(stored[vector]) / factor)
        for product in norm.products:
            weight = numpy_helper.to_array(stored[product.input[1]])
            _store(stored[product.input[1]], weight * (factor if _is_transposed(product) else factor[:, None]))
    return changed


def _by_channel(weights: Mapping[str, onnx.TensorProto], product: onnx.NodeProto) -> NDArray[np.float32]:
    """Return a product's absolute weight as (channels in, channels out)."""
    weight = np.abs(numpy_helper.to_array(weights[product.input[1]]))
    return weight.T if _is_transposed(product) else weight


def _is_transposed(product: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i == 1 for attribute in product.attribute)


def _store(item: onnx.TensorProto, values: NDArray[np.float64]) -> None:
    item.CopyFrom(numpy_helper.from_array(values.astype(np.float32), item.name))


def _first_output(graph: onnx.ModelProto, inputs: Sequence[Arrays]) -> NDArray[np.float32]:
    session = load(graph.SerializeToString(), runtime="onnxruntime")
    return np.concatenate([to_unit_length(session.run(one)[graph.graph.output[0].name]) for one in inputs])
