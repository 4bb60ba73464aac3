"""Precision as a property of the graph: one function takes the FP32 graph and a plan, and gives the graph
that every runtime loads.

Only products with a weight, convolutions among them, change their type: they are nine tenths of the work. Layer
norms, softmax, GELU, the products of attention, the heads' norms and the residual stream stay in FP32, since FP16
of a whole vision transformer has been seen to destroy its embeddings.

- FP16 and BF16: the weight and both sides of the product are of that type, with casts around it.
- INT8: Q/DQ pairs, which `quantize.py` places. INT8-BF16 is the same graph, whose rest OpenVINO computes in BF16 where
  the CPU has it: what stays in FP32 above is then stored in FP32 and computed in BF16.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from alta_sdk.engine.manifest_content import product_type
from alta_sdk.errors import ExportError

from .graph import check_portable, find_products, is_product, rank
from .quantize import Ranges, insert_pairs, list_lowered

CAST_TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
FP16_MAX = float(np.finfo(np.float16).max)
FP16_MARGIN = 4  # other radiographs reach further than the held-out ones


@dataclass(frozen=True)
class PrecisionPlan:
    """The precision of the products of one graph, and the names of those, or of sums, that stay in FP32."""

    precision: str
    kept: frozenset[str] = field(default_factory=frozenset)


def apply_precision(
    graph: onnx.ModelProto, plan: PrecisionPlan, ranges: Ranges | None = None, *, symmetric: bool = False
) -> onnx.ModelProto:
    """Return a copy of an FP32 graph in the plan's precision.

    ranges: of what `list_ranged_tensors` lists, from a calibration; INT8 alone needs them. symmetric: INT8 as
    TensorRT takes it, its zero points all 0.
    Raises ExportError for a plan that does not fit the graph, or weights that the precision cannot hold.
    """
    unknown = plan.kept.difference(list_lowered(graph, plan.precision, symmetric=symmetric))
    if unknown:
        raise ExportError(f"plan keeps products that the graph does not have: {', '.join(sorted(unknown))}")
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    if product_type(plan.precision) == "int8":
        changed = insert_pairs(changed, plan.kept, ranges or {}, symmetric=symmetric)
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
        if not is_product(node):
            continue
        source = made_by.get(node.input[1])
        if source is not None and source.op_type == "DequantizeLinear":
            sides = [made_by.get(name) for name in node.input[:2]]
            stored = weights.get(source.input[0])
            whole = all(side is not None and side.op_type == "DequantizeLinear" for side in sides)
            if whole and stored is not None and stored.data_type == TensorProto.INT8:
                found[node.name] = "int8"
        elif node.input[1] in weights and len(weights[node.input[1]].dims) == rank(node):
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
        for place in range(len(node.input)):  # a bias, too: the operands of a product are of one type
            name = node.input[place]
            if name not in cast:
                cast[name] = f"{name}.{plan.precision}"
                if place == 0:
                    nodes.append(helper.make_node("Cast", [name], [cast[name]], f"{node.name}.in", to=kind))
            node.input[place] = cast[name]
        output, node.output[0] = node.output[0], f"{node.output[0]}.{plan.precision}"
        cast[output] = node.output[0]  # a product that reads it needs no further cast
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
