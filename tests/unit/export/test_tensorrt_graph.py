"""The graphs that TensorRT will parse: operators, types, and where Q/DQ pairs stand, for every precision."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from alta_export.graph import find_products
from alta_export.precision import PrecisionPlan, apply_precision, read_precision
from alta_export.ranges import measure_ranges
from alta_export.tensorrt_graph import OPERATORS, check_for_tensorrt, make_profiles
from alta_export.verify import make_radiographs
from alta_runtimes import load
from alta_sdk.errors import ExportError


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 400, (8, 32))
    return {
        "image": [{"pixels": make_radiographs(1, 224), "slot": np.zeros(1, np.int64)}],
        "text": [{"input_ids": ids, "attention_mask": np.ones_like(ids)}],
    }


@pytest.fixture(scope="module")
def ranges(graphs, inputs):
    return {name: measure_ranges(graph, inputs[name], "minmax") for name, graph in graphs.items()}


def lower(graphs, ranges, name, precision):
    return apply_precision(graphs[name], PrecisionPlan(precision), ranges[name], symmetric=True)


@pytest.mark.parametrize("name", ["image", "text"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_every_precision_can_be_parsed(graphs, ranges, name, precision):
    graph = lower(graphs, ranges, name, precision)
    check_for_tensorrt(name, graph)
    assert {node.op_type for node in graph.graph.node} <= OPERATORS
    assert set(read_precision(graph).values()) == {precision}


@pytest.mark.parametrize("name", ["image", "text"])
def test_int8_for_tensorrt_is_signed_and_symmetric(graphs, ranges, inputs, name):
    graph = lower(graphs, ranges, name, "int8")
    weights = {item.name: item for item in graph.graph.initializer}
    pairs = [node for node in graph.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        zero = weights[node.input[2]]
        assert zero.data_type == TensorProto.INT8 and not numpy_helper.to_array(zero).any()
    scales = {
        node.input[0]: float(numpy_helper.to_array(weights[node.input[1]])) for node in pairs if node.op_type[0] == "Q"
    }
    for layer, node in find_products(graphs[name]).items():
        low, high = ranges[name][layer]
        np.testing.assert_allclose(scales[node.input[0]], max(-low, high) / 127, rtol=0.01)
    output = {"image": "cls", "text": "projection"}[name]
    one, other = (
        load(g.SerializeToString(), runtime="onnxruntime").run(inputs[name][0])[output] for g in (graphs[name], graph)
    )
    cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosines.min() > 0.98


def test_int8_for_the_cpu_is_refused(graphs, ranges):
    unsigned = apply_precision(graphs["image"], PrecisionPlan("int8"), ranges["image"])
    with pytest.raises(ExportError, match="image graph cannot become a TensorRT engine: .*is uint8"):
        check_for_tensorrt("image", unsigned)


def change(graph, **kinds):
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    return changed


def test_what_the_parser_would_refuse_is_refused_here(graphs, ranges):
    graph = change(graphs["image"])
    graph.graph.node[1].op_type = "Det"
    with pytest.raises(ExportError, match="operator Det is not supported"):
        check_for_tensorrt("image", graph)
    graph = change(graphs["image"])
    graph.graph.node.append(helper.make_node("Add", ["pixels", "pixels"], ["twice"], "twice"))
    with pytest.raises(ExportError, match="Add reads the uint8 input pixels: only a cast can"):
        check_for_tensorrt("image", graph)
    graph = change(graphs["image"])
    norm = next(node for node in graph.graph.node if node.op_type == "LayerNormalization")
    norm.output.append("mean")
    with pytest.raises(ExportError, match="more than its first output"):
        check_for_tensorrt("image", graph)
    graph = change(lower(graphs, ranges, "image", "int8"))
    product = next(node for node in graph.graph.node if node.op_type == "MatMul" and "Dequantize" in node.input[0])
    graph.graph.node.append(helper.make_node("Softmax", [product.input[0]], ["soft"], "soft"))
    with pytest.raises(ExportError, match="is read by more than products"):
        check_for_tensorrt("image", graph)
    graph = change(graphs["image"])
    graph.graph.initializer.append(numpy_helper.from_array(np.zeros(2), "wide"))
    with pytest.raises(ExportError, match="wide is float64"):
        check_for_tensorrt("image", graph)


def test_profiles_hold_what_the_engine_runs(graphs):
    profiles = make_profiles(graphs, 16, 64)
    assert profiles["image"]["pixels"] == [[1, 1, 224, 224], [1, 1, 224, 224], [16, 1, 224, 224]]
    assert profiles["text"]["input_ids"] == [[1, 1], [8, 32], [16, 64]]
    assert make_profiles(graphs, 1, 64)["text"]["input_ids"][2] == [8, 64]  # prompts run in eights
    for name, graph in graphs.items():
        assert {value.name for value in graph.graph.input} == profiles[name].keys()
