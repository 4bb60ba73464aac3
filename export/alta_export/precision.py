"""Precision as a property of the graph: one function takes the FP32 graph and a plan, and gives the graph
that every runtime loads.

Only products with a weight change their type: they are nine tenths of the work. Layer norms, softmax,
GELU, the products of attention, the heads' norms and the residual stream stay in FP32, since FP16 of a
whole vision transformer has been seen to destroy its embeddings.

- FP16 and BF16: the weight and both sides of the product are of that type, with casts around it.
- INT8: Q/DQ pairs, unsigned activations of a calibrated range and signed weights by output channel, which
  onnxruntime.quantization writes. Products kept out of it stay in FP32. For TensorRT activations are signed
  and symmetric (it knows no other), and biases stay in FP32.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from alta_sdk.errors import ExportError

from .graph import check_portable, find_products

CAST_TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
FP16_MAX = float(np.finfo(np.float16).max)
FP16_MARGIN = 4  # other radiographs reach further than the held-out ones
Ranges = Mapping[str, tuple[float, float]]  # of a product's input, by the product's name


@dataclass(frozen=True)
class PrecisionPlan:
    """The precision of the products of one graph, and the names of those that stay in FP32."""

    precision: str
    kept: frozenset[str] = field(default_factory=frozenset)


def apply_precision(
    graph: onnx.ModelProto, plan: PrecisionPlan, ranges: Ranges | None = None, *, symmetric: bool = False
) -> onnx.ModelProto:
    """Return a copy of an FP32 graph in the plan's precision.

    ranges: of the input of each product, from a calibration; INT8 alone needs them. symmetric: INT8 as
    TensorRT takes it, its zero points all 0.
    Raises ExportError for a plan that does not fit the graph, or weights that the precision cannot hold.
    """
    unknown = plan.kept - find_products(graph).keys()
    if unknown:
        raise ExportError(f"plan keeps products that the graph does not have: {', '.join(sorted(unknown))}")
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    if plan.precision == "int8":
        changed = _quantize(changed, plan, ranges or {}, symmetric)
    elif plan.precision != "fp32":
        _cast_products(changed, plan)
    onnx.checker.check_model(changed)
    check_portable(changed)
    return changed


def read_precision(graph: onnx.ModelProto) -> dict[str, str]:
    """Read back the precision of each product of a graph, by name: what was achieved, not what was asked."""
    made_by = {output: node for node in graph.graph.node for output in node.output}
    weights = {item.name: item for item in graph.graph.initializer}
    found = {}
    for node in graph.graph.node:
        if node.op_type not in ("MatMul", "Gemm"):
            continue
        source = made_by.get(node.input[1])
        if source is not None and source.op_type == "DequantizeLinear":
            sides = [made_by.get(name) for name in node.input[:2]]
            stored = weights.get(source.input[0])
            whole = all(side is not None and side.op_type == "DequantizeLinear" for side in sides)
            if whole and stored is not None and stored.data_type == TensorProto.INT8:
                found[node.name] = "int8"
        elif node.input[1] in weights and len(weights[node.input[1]].dims) == 2:
            kinds = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}
            found[node.name] = kinds.get(weights[node.input[1]].data_type, "other")
    return found


def check_range(graph_name: str, ranges: Ranges) -> None:
    """Raise ExportError if a product's values come near the largest FP16 number, where they would be lost."""
    for name, (low, high) in ranges.items():
        if max(-low, high) > FP16_MAX / FP16_MARGIN:
            raise ExportError(
                f"{graph_name} {name}: values up to {max(-low, high):.0f} come near the largest FP16 number "
                f"({FP16_MAX:.0f}); export BF16, INT8 or FP32"
            )


def _cast_products(graph: onnx.ModelProto, plan: PrecisionPlan) -> None:
    kind = CAST_TYPES[plan.precision]
    nodes: list[onnx.NodeProto] = []
    products = find_products(graph)
    changed = {id(node) for name, node in products.items() if name not in plan.kept}
    cast: dict[str, str] = {}
    for node in graph.graph.node:
        if id(node) not in changed:
            nodes.append(node)
            continue
        for place in range(len(node.input)):  # a Gemm's bias, too: its operands are of one type
            name = node.input[place]
            if name not in cast:
                cast[name] = f"{name}.{plan.precision}"
                if place == 0:
                    nodes.append(helper.make_node("Cast", [name], [cast[name]], f"{node.name}.in", to=kind))
            node.input[place] = cast[name]
        output, node.output[0] = node.output[0], f"{node.output[0]}.{plan.precision}"
        nodes += [node, helper.make_node("Cast", [node.output[0]], [output], f"{node.name}.out", to=TensorProto.FLOAT)]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    _store_weights(graph, cast, kind, plan.precision)


def _store_weights(graph: onnx.ModelProto, cast: dict[str, str], kind: int, precision: str) -> None:
    """Replace weights by their rounded copies; those that an FP32 node reads as well are kept beside."""
    read = {name for node in graph.graph.node for name in node.input}
    weights = list(graph.graph.initializer)
    del graph.graph.initializer[:]
    for item in weights:
        if item.name in cast:
            values = numpy_helper.to_array(item)
            if precision == "fp16" and np.abs(values).max() > FP16_MAX:
                raise ExportError("a weight is beyond the range of FP16: export BF16, INT8 or FP32")
            dtype = helper.tensor_dtype_to_np_dtype(kind)
            graph.graph.initializer.append(numpy_helper.from_array(values.astype(dtype), cast[item.name]))
        if item.name not in cast or item.name in read:
            graph.graph.initializer.append(item)


def _quantize(graph: onnx.ModelProto, plan: PrecisionPlan, ranges: Ranges, symmetric: bool) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData

    products = {name: node for name, node in find_products(graph).items() if name not in plan.kept}
    missing = products.keys() - ranges.keys()
    if missing:
        raise ExportError(f"calibration lacks ranges for {', '.join(sorted(missing)[:3])}: calibrate this checkpoint")
    if not products:
        return graph
    data = {}
    for name, node in products.items():
        low, high = (np.array(end, dtype=np.float32) for end in ranges[name])
        data[node.input[0]] = TensorData(lowest=low, highest=high)
    quantizer = QDQQuantizer(
        graph,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, data),
        nodes_to_quantize=list(products),
        nodes_to_exclude=[],
        op_types_to_quantize=["MatMul", "Gemm"],
        extra_options={
            "MatMulConstBOnly": True,
            "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"],
            "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
            "WeightSymmetric": True,
            "ActivationSymmetric": symmetric,
            "QuantizeBias": not symmetric,
        },
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()  # the quantizer appends its nodes at the end
    _spare_other_readers(quantizer.model.model)
    return quantizer.model.model


def _spare_other_readers(graph: onnx.ModelProto) -> None:
    """Let nodes other than products read the tensors as they were: the quantizer gives rounded ones to all.

    A residual stream that passed through 8 bits at every layer would not be in FP32.
    """
    made_by = {output: node for node in graph.graph.node for output in node.output}
    for node in graph.graph.node:
        if node.op_type in ("MatMul", "Gemm"):
            continue
        for place, name in enumerate(node.input):
            pair = made_by.get(name)
            rounded = made_by.get(pair.input[0]) if pair is not None and pair.op_type == "DequantizeLinear" else None
            if rounded is not None and rounded.op_type == "QuantizeLinear":
                node.input[place] = rounded.input[0]
