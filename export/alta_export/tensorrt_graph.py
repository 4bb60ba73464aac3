"""What TensorRT will be given: shapes that a plan is built for, and a check of the graph before it travels.

The check runs where the bundle is exported, since the GPU may be elsewhere: what TensorRT's parser would refuse
there is refused here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from alta_runtimes import load
from alta_sdk.engine.bundle import IMAGE_GRAPH, TEXT_GRAPH, open_bundle
from alta_sdk.engine.engine import Engine
from alta_sdk.engine.manifest_content import TEXT, compute_type
from alta_sdk.engine.sessions import LoadedGraphs
from alta_sdk.engine.text_encoder import TEXT_ROWS
from alta_sdk.engine.tokenizer import LENGTH_STEP
from alta_sdk.errors import ExportError

from .graph import WEIGHT_RANKS
from .options import RUNTIMES, ExportOptions

DEFAULT_MAX_BATCH = 16
# Those of our graphs' operators that TensorRT's parser lists as supported, with the restrictions checked below.
# Source: onnx-tensorrt, docs/operators.md (TensorRT 10.15, opset 9 to 24).
OPERATORS = frozenset(
    "Add ArgMax Cast Concat Conv DequantizeLinear Expand Gather GatherElements Gelu Gemm Identity LayerNormalization "
    "MatMul MaxPool Mul QuantizeLinear ReduceMean Relu Reshape Shape Sigmoid Slice Softmax Split Squeeze Sub Transpose "
    "Unsqueeze".split()
)
Shapes = dict[str, list[list[int]]]  # smallest, best and largest shape, by input


def make_profiles(graphs: Mapping[str, onnx.ModelProto], max_batch: int, max_tokens: int) -> dict[str, Shapes]:
    """Return the shapes that plans are built for, by graph: best for one radiograph, and for eight short prompts."""
    return {name: _make_profile(name, graph, max_batch, max_tokens) for name, graph in graphs.items()}


def _make_profile(name: str, graph: onnx.ModelProto, max_batch: int, max_tokens: int) -> Shapes:
    """Fill in the free axes of a graph's inputs: rows and, of the text graph, tokens."""
    short = min(2 * LENGTH_STEP, max_tokens)
    is_text = name == TEXT
    rows = (1, TEXT_ROWS, max(max_batch, TEXT_ROWS)) if is_text else (1, 1, max_batch)
    free = list(zip(rows, (1, short, max_tokens), strict=True))  # what stands for the first axis, and for others
    axes = {value.name: value.type.tensor_type.shape.dim for value in graph.graph.input}
    return {
        tensor: [[dim.dim_value or lengths[min(place, 1)] for place, dim in enumerate(dims)] for lengths in free]
        for tensor, dims in axes.items()
    }


def describe_plans(options: ExportOptions, graphs: Mapping[str, onnx.ModelProto], max_tokens: int) -> dict[str, Any]:
    """Return what a TensorRT engine's manifest tells its build; nothing for other engines."""
    if options.engine != "trt":
        return {}
    profiles = make_profiles(graphs, options.max_batch or DEFAULT_MAX_BATCH, max_tokens)
    return {RUNTIMES["trt"]: {"profiles": profiles, "workspace_mib": options.workspace_mib}}


def open_deferred(folder: Path) -> None:
    """Open a deferred bundle with its graphs on the CPU: the files are whole, and compute what they should.

    Raises EngineError or IntegrityError if not.
    """
    bundle = open_bundle(folder)
    compute = compute_type(bundle.manifest.engine["precision"])
    runtime = "openvino" if compute == "bf16" else "onnxruntime"
    image, text = (
        load(bundle.read(name), name=name, device="cpu", runtime=runtime, compute=compute)
        for name in (IMAGE_GRAPH, TEXT_GRAPH)
    )
    Engine(bundle, LoadedGraphs(image, text, "not built yet")).check_quickly()


def check_for_tensorrt(name: str, graph: onnx.ModelProto) -> None:
    """Raise ExportError for what TensorRT's parser would refuse: operators, types, and where Q/DQ pairs stand."""
    for check in CHECKS:
        found = check(graph)
        if found:
            raise ExportError(f"{name} graph cannot become a TensorRT engine: {', '.join(sorted(found)[:3])}")


def _find_operators(graph: onnx.ModelProto) -> set[str]:
    return {f"operator {node.op_type} is not supported" for node in graph.graph.node if node.op_type not in OPERATORS}


def _find_types(graph: onnx.ModelProto) -> set[str]:
    """Look for types that TensorRT has not, and for uint8 anywhere but in an input that is cast at once."""
    doubles = {f"{item.name} is float64" for item in graph.graph.initializer if item.data_type == TensorProto.DOUBLE}
    small = {v.name for v in graph.graph.input if v.type.tensor_type.elem_type == TensorProto.UINT8}
    read = {
        f"{node.op_type} reads the uint8 input {name}: only a cast can"
        for node in graph.graph.node
        for name in small.intersection(node.input)
        if node.op_type != "Cast"
    }
    stored = {f"{item.name} is uint8" for item in graph.graph.initializer if item.data_type == TensorProto.UINT8}
    return doubles | read | stored


def _find_extra_outputs(graph: onnx.ModelProto) -> set[str]:
    return {
        f"{node.name} has more than its first output"
        for node in graph.graph.node
        if node.op_type == "LayerNormalization" and len(node.output) > 1
    }


def _find_pairs(graph: onnx.ModelProto) -> set[str]:
    """Look for zero points that are not 0, types but int8, and DequantizeLinear that no product reads."""
    weights = {item.name: item for item in graph.graph.initializer}
    readers: dict[str, set[str]] = {}
    for node in graph.graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.op_type)
    found = set()
    for node in graph.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        zero = weights.get(node.input[2]) if len(node.input) > 2 else None
        if zero is None or zero.data_type != TensorProto.INT8 or np.any(numpy_helper.to_array(zero)):
            found.add(f"{node.name} has no zero point of signed 0")
        if node.op_type == "QuantizeLinear" and readers.get(node.output[0]) != {"DequantizeLinear"}:
            found.add(f"{node.name} is not followed by DequantizeLinear")
        if node.op_type == "DequantizeLinear" and not readers.get(node.output[0], set()) <= WEIGHT_RANKS.keys():
            found.add(f"{node.name} is read by more than products")
    return found


CHECKS: tuple[Callable[[onnx.ModelProto], set[str]], ...] = (
    _find_operators,
    _find_types,
    _find_extra_outputs,
    _find_pairs,
)
