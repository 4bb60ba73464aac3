"""Precision as a graph property: only products with a weight change, and what was made is read back."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from alta_export.graph import find_products
from alta_export.precision import FP16_MAX, PrecisionPlan, apply_precision, check_range, read_precision
from alta_export.ranges import measure_ranges
from alta_export.verify import make_radiographs
from alta_runtimes import load
from alta_sdk.errors import ExportError

LAYERS = ("attention.query", "attention.key", "attention.value", "projection", "side", "fc1", "fc2")


@pytest.fixture(scope="module")
def inputs():
    return [
        {"pixels": make_radiographs(6, 224)[i : i + 1], "slot": np.array([i % 4], dtype=np.int64)} for i in range(6)
    ]


@pytest.fixture(scope="module")
def ranges(image_graph, inputs):
    return measure_ranges(image_graph, inputs, "minmax")


def run(graph, inputs, runtime="onnxruntime"):
    session = load(graph.SerializeToString(), runtime=runtime)
    return np.concatenate([session.run(one)["cls"] for one in inputs])


def cosines(one, other):
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def test_products_are_named_after_their_layers(image_graph, text_graph):
    names = set(find_products(image_graph))
    assert {f"blocks.0.{layer}" for layer in LAYERS} <= names
    assert "blocks.1.attention.key" not in names  # in the last block tokens are not projected
    assert {"layers.0.fc2", "global_head.dense_to_output", "local_head.dense_to_hidden"} <= set(
        find_products(text_graph)
    )


def test_the_graph_of_int8_bf16_is_that_of_int8(image_graph, ranges):
    both = [apply_precision(image_graph, PrecisionPlan(name), ranges) for name in ("int8", "int8-bf16")]
    assert both[0].SerializeToString(deterministic=True) == both[1].SerializeToString(deterministic=True)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_achieved_precision_is_what_was_asked(image_graph, ranges, precision):
    kept = frozenset({"blocks.0.fc2"})
    graph = apply_precision(image_graph, PrecisionPlan(precision, kept), ranges)
    achieved = read_precision(graph)
    assert achieved.keys() == find_products(image_graph).keys()
    assert {name for name, kind in achieved.items() if kind == "fp32"} == kept
    assert set(achieved.values()) == {precision, "fp32"}


def test_fp32_graph_is_not_touched(image_graph, ranges):
    before = image_graph.SerializeToString(deterministic=True)
    assert apply_precision(image_graph, PrecisionPlan("fp32")).SerializeToString(deterministic=True) == before
    apply_precision(image_graph, PrecisionPlan("int8"), ranges)
    assert image_graph.SerializeToString(deterministic=True) == before


def test_int8_quantizes_only_products_with_a_weight(image_graph, ranges):
    graph = apply_precision(image_graph, PrecisionPlan("int8"), ranges)
    made_by = {output: node.op_type for node in graph.graph.node for output in node.output}
    readers = {
        (made_by.get(name), node.op_type)
        for node in graph.graph.node
        for name in node.input
        if made_by.get(name) == "DequantizeLinear"
    }
    assert {op for _, op in readers} <= {"MatMul", "Gemm", "Add"}  # Add: a Gemm's bias that was taken out
    weights = {item.name: item for item in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type == "QuantizeLinear":
            assert weights[node.input[2]].data_type == TensorProto.UINT8
        if node.op_type == "DequantizeLinear" and weights.get(node.input[0]) is not None:
            scales = numpy_helper.to_array(weights[node.input[1]])
            stored = weights[node.input[0]]
            if stored.data_type == TensorProto.INT8:
                assert scales.shape in {(stored.dims[1],), (stored.dims[0],)}  # one for each output
    for name in ("Softmax", "LayerNormalization", "Gelu"):
        for node in graph.graph.node:
            if node.op_type == name:
                assert made_by.get(node.input[0]) != "DequantizeLinear"


def test_int8_leaves_the_residual_stream_in_fp32(text_graph):
    ids = np.random.default_rng(0).integers(0, 400, (8, 32))
    ranges = measure_ranges(text_graph, [{"input_ids": ids, "attention_mask": np.ones_like(ids)}], "minmax")
    graph = apply_precision(text_graph, PrecisionPlan("int8"), ranges)
    kinds = {output: node.op_type for node in graph.graph.node for output in node.output}
    stored = {item.name for item in graph.graph.initializer}
    makers = {output: node for node in graph.graph.node for output in node.output}
    for node in graph.graph.node:
        if node.op_type not in ("MatMul", "Gemm"):
            rounded = [name for name in node.input if kinds.get(name) == "DequantizeLinear"]
            assert all(makers[name].input[0] in stored for name in rounded)  # a bias at most, never an activation


@pytest.mark.parametrize(("precision", "limit"), [("fp16", 0.99999), ("int8", 0.99)])
def test_lower_precision_stays_close(image_graph, ranges, inputs, precision, limit):
    graph = apply_precision(image_graph, PrecisionPlan(precision), ranges)
    found = cosines(run(image_graph, inputs), run(graph, inputs))
    assert found.min() > limit
    assert found.min() < 1 - 1e-9  # it is another precision


def test_lower_precision_makes_the_file_smaller(image_graph, ranges):
    sizes = {
        p: len(apply_precision(image_graph, PrecisionPlan(p), ranges).SerializeToString()) for p in ("fp32", "fp16")
    }
    assert sizes["fp16"] < sizes["fp32"]


def test_kept_layer_that_does_not_exist_is_refused(image_graph):
    with pytest.raises(ExportError, match="blocks.9.fc1"):
        apply_precision(image_graph, PrecisionPlan("fp16", frozenset({"blocks.9.fc1"})))


def test_int8_without_a_range_is_refused(image_graph, ranges):
    with pytest.raises(ExportError, match="lacks ranges for blocks.0.fc1"):
        apply_precision(image_graph, PrecisionPlan("int8"), {k: v for k, v in ranges.items() if k != "blocks.0.fc1"})


def test_values_near_the_largest_fp16_number_are_refused(image_graph):
    check_range("image", {"blocks.0.fc1": (-100.0, 16_000.0)})
    with pytest.raises(ExportError, match="image blocks.0.fc1: values up to 17000 come near"):
        check_range("image", {"blocks.0.fc1": (-17_000.0, 3.0)})
    graph = onnx.ModelProto()
    graph.CopyFrom(image_graph)
    weight = find_products(graph)["blocks.0.fc1"].input[1]
    item = next(item for item in graph.graph.initializer if item.name == weight)
    values = numpy_helper.to_array(item).copy()
    values[0, 0] = 2 * FP16_MAX
    item.CopyFrom(numpy_helper.from_array(values, weight))
    with pytest.raises(ExportError, match="beyond the range of FP16"):
        apply_precision(graph, PrecisionPlan("fp16"))


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
def test_ranges_lie_within_what_was_seen(image_graph, inputs, ranges, method):
    found = measure_ranges(image_graph, inputs, method)
    assert found.keys() == ranges.keys() == find_products(image_graph).keys()
    for name, (low, high) in found.items():
        lowest, highest = ranges[name]
        assert low <= high
        # The histograms' edges are float32 numbers beside the values.
        assert lowest - 1e-3 * abs(lowest) <= low and high <= highest + 1e-3 * abs(highest)


def test_minmax_is_the_range_of_the_layer_norm_that_a_layer_reads(image_graph, inputs, ranges):
    source = find_products(image_graph)["blocks.0.fc1"].input[0]
    graph = onnx.ModelProto()
    graph.CopyFrom(image_graph)
    graph.graph.output.append(onnx.helper.make_tensor_value_info(source, TensorProto.FLOAT, None))
    session = load(graph.SerializeToString(), runtime="onnxruntime")
    seen = np.concatenate([session.run(one)[source] for one in inputs])
    np.testing.assert_allclose(ranges["blocks.0.fc1"], (seen.min(), seen.max()), rtol=1e-6)


def test_products_outputs_are_measured_for_fp16(image_graph, inputs, ranges):
    found = measure_ranges(image_graph, inputs, "minmax", outputs=True)
    assert found.keys() == ranges.keys()
    assert found["blocks.0.fc1"] != ranges["blocks.0.fc1"]


def test_openvino_computes_what_onnxruntime_does(image_graph, ranges, inputs):
    for graph in (image_graph, apply_precision(image_graph, PrecisionPlan("fp16"))):
        np.testing.assert_allclose(run(graph, inputs, "openvino"), run(graph, inputs), rtol=1e-2, atol=2e-3)
    graph = apply_precision(image_graph, PrecisionPlan("int8"), ranges)
    assert cosines(run(graph, inputs, "openvino"), run(graph, inputs)).min() > 0.999
