"""INT8 as Q/DQ pairs in the graph, which onnxruntime.quantization writes where they are asked for here.

Unsigned activations of a calibrated range, signed weights by output channel. Between convolutions the sums with what
skips them are rounded, too: onnxruntime runs a convolution in INT8 only if what it gives is rounded at once, and a
whole trunk then stays in 8 bits. Nothing of a transformer's residual stream is.

For TensorRT activations are signed and symmetric (it knows no other); sums and biases stay in FP32.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from alta_sdk.engine.manifest_content import product_type
from alta_sdk.errors import ExportError

from .graph import find_products

# Of a product's input, by the product's name, and of what a convolution gives, by its name and OUTPUT.
Ranges = Mapping[str, tuple[float, float]]
OUTPUT, SUM = ".out", ".sum"
MATRIX_PRODUCTS = ("MatMul", "Gemm")


@dataclass(frozen=True, eq=False)
class RoundedSum:
    """A sum of what convolutions give. sources: the convolutions' names, by the tensors that they give."""

    node: onnx.NodeProto
    sources: Mapping[str, str]


def find_sums(graph: onnx.ModelProto) -> dict[str, RoundedSum]:
    """Return the sums of what a convolution gives with another's, or with what a product reads, named after the first.

    So the ranges of both sides are known.
    """
    products = find_products(graph)
    made_by = {node.output[0]: name for name, node in products.items() if node.op_type == "Conv"}
    read = {node.input[0] for node in products.values()}
    found = {}
    for node in graph.graph.node:
        sources = {tensor: made_by[tensor] for tensor in node.input if tensor in made_by}
        if node.op_type == "Add" and sources and all(tensor in sources or tensor in read for tensor in node.input):
            found[f"{next(iter(sources.values()))}{SUM}"] = RoundedSum(node, sources)
    return found


def list_lowered(graph: onnx.ModelProto, precision: str, *, symmetric: bool) -> list[str]:
    """Return what a plan may keep in FP32, by name: products and, of INT8 for the CPU, sums of convolutions."""
    sums = find_sums(graph) if product_type(precision) == "int8" and not symmetric else {}
    return [*find_products(graph), *sums]


def list_ranged_tensors(graph: onnx.ModelProto) -> dict[str, str]:
    """Return the tensors whose ranges INT8 needs, by the name that a calibration has for them."""
    found = {name: node.input[0] for name, node in find_products(graph).items()}
    known = set(found.values())
    for one in find_sums(graph).values():
        found |= {f"{name}{OUTPUT}": tensor for tensor, name in one.sources.items() if tensor not in known}
    return found


def find_pixel_products(graph: onnx.ModelProto) -> set[str]:
    """Return the products that read the pixels themselves, which are cast from 8 bits without a sign."""
    inputs = {value.name for value in graph.graph.input}
    casts = {node.output[0] for node in graph.graph.node if node.op_type == "Cast" and node.input[0] in inputs}
    return {name for name, node in find_products(graph).items() if node.input[0] in casts}


def insert_pairs(graph: onnx.ModelProto, kept: frozenset[str], ranges: Ranges, *, symmetric: bool) -> onnx.ModelProto:
    """Return a graph with its products in INT8, but for those that are kept; the given one may change.

    Raises ExportError if a range is missing.
    """
    products = {name: node for name, node in find_products(graph).items() if name not in kept}
    if not products:
        return graph
    sums = {} if symmetric else {n: one for n, one in find_sums(graph).items() if not kept & {n, *one.sources.values()}}
    tensors = {node.input[0] for node in products.values()} | {t for one in sums.values() for t in one.node.input}
    named = {name: tensor for name, tensor in list_ranged_tensors(graph).items() if tensor in tensors}
    missing = named.keys() - ranges.keys()
    if missing:
        raise ExportError(f"calibration lacks ranges for {', '.join(sorted(missing)[:3])}: calibrate this checkpoint")
    changed = [*products, *(one.node.name for one in sums.values())]
    own_last = sorted(named, key=lambda name: name in products)  # where a kept product reads the same tensor
    return _quantize(graph, changed, {named[name]: ranges[name] for name in own_last}, symmetric)


def _quantize(graph: onnx.ModelProto, changed: list[str], ranges: Ranges, symmetric: bool) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData

    data = {}
    for tensor, ends in ranges.items():
        low, high = (np.array(end, dtype=np.float32) for end in ends)
        data[tensor] = TensorData(lowest=low, highest=high)
    quantizer = QDQQuantizer(
        graph,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, data),
        nodes_to_quantize=changed,
        nodes_to_exclude=[],
        op_types_to_quantize=[*MATRIX_PRODUCTS, "Conv", "Add"],
        extra_options={
            "MatMulConstBOnly": True,
            "OpTypesToExcludeOutputQuantization": [*MATRIX_PRODUCTS, "Conv", "Add"],
            "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
            "WeightSymmetric": True,
            "ActivationSymmetric": symmetric,
            "QuantizeBias": not symmetric,
        },
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()  # the quantizer appends its nodes at the end
    _spare_other_readers(quantizer.model.model, set(changed))
    return quantizer.model.model


def _spare_other_readers(graph: onnx.ModelProto, changed: set[str]) -> None:
    """Let nodes that were not changed read the tensors as they were: the quantizer gives rounded ones to all.

    A residual stream that passed through 8 bits at every layer would not be in FP32.
    """
    made_by = {output: node for node in graph.graph.node for output in node.output}
    for node in graph.graph.node:
        if node.op_type in MATRIX_PRODUCTS or node.name in changed:
            continue
        for place, name in enumerate(node.input):
            pair = made_by.get(name)
            rounded = made_by.get(pair.input[0]) if pair is not None and pair.op_type == "DequantizeLinear" else None
            if rounded is not None and rounded.op_type == "QuantizeLinear":
                node.input[place] = rounded.input[0]
