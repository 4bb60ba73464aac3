"""Tokens in two parts: the same numbers but for the last bits, and no graph that would gain nothing is split."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from alta_export.precision import PrecisionPlan, apply_precision
from alta_export.ranges import measure_ranges
from alta_export.row_blocks import split_rows
from alta_export.verify import make_radiographs
from alta_runtimes import load
from alta_runtimes.graph_check import check_graph


@pytest.fixture(scope="module")
def graph(bundle):
    return onnx.load(bundle / "image.onnx")


@pytest.fixture(scope="module")
def inputs():
    return {"pixels": make_radiographs(2, 224), "slot": np.array([0, 2])}


@pytest.fixture(scope="module")
def int8(graph, inputs):
    return apply_precision(graph, PrecisionPlan("int8"), measure_ranges(graph, [inputs], "minmax"))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_all_that_a_graph_gives_is_the_same_but_for_the_last_bits(graph, int8, inputs, precision, runtime):
    whole = {"fp32": graph, "int8": int8}[precision]
    split = split_rows(whole)
    wanted, given = (load(one.SerializeToString(), runtime=runtime).run(inputs) for one in (whole, split))
    assert wanted.keys() == given.keys()
    for name in wanted:
        np.testing.assert_allclose(given[name], wanted[name], rtol=0, atol=2e-6)


def test_products_are_made_for_192_tokens_and_for_the_other_five(int8):
    split = split_rows(int8)
    kinds, before = (Counter(node.op_type for node in one.graph.node) for one in (split, int8))
    assert kinds["LayerNormalization"] > before["LayerNormalization"]
    assert kinds["MatMul"] > before["MatMul"]
    assert kinds["Softmax"] == before["Softmax"]  # attention is among all
    lengths = {tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)[1:2] for value in infer(split)}
    assert {(192,), (5,), (197,)} <= lengths
    assert sum(len(item.raw_data) for item in split.graph.initializer) <= 1.01 * sum(
        len(item.raw_data) for item in int8.graph.initializer
    )  # no weight twice


def infer(graph):
    return onnx.shape_inference.infer_shapes(graph, data_prop=True).graph.value_info


def test_the_given_graph_stays_and_the_new_one_is_of_the_kind_that_is_loaded(graph):
    before = graph.SerializeToString()
    check_graph(split_rows(graph).SerializeToString(), "image-split.onnx")
    assert graph.SerializeToString() == before


def test_a_graph_without_a_fixed_number_of_tokens_is_left_alone(bundle):
    assert split_rows(onnx.load(bundle / "text.onnx")) is None


@pytest.mark.parametrize(("tokens", "is_split"), [(50, False), (63, False), (64, False), (128, False), (65, True)])
def test_only_more_than_a_block_and_no_whole_blocks_are_split(tokens, is_split):
    assert (split_rows(make_norms(tokens)) is not None) == is_split


def test_a_weight_of_each_token_is_added_to_all_at_once():
    graph = make_norms(70)
    position = np.random.default_rng(0).normal(size=(1, 70, 8)).astype(np.float32)
    graph.graph.initializer.append(numpy_helper.from_array(position, "position"))
    graph.graph.node[1].input[1] = "position"
    split, x = split_rows(graph), {"x": np.random.default_rng(1).normal(size=(2, 70, 8)).astype(np.float32)}
    wanted, given = (load(one.SerializeToString(), runtime="onnxruntime").run(x) for one in (graph, split))
    np.testing.assert_array_equal(given["y"], wanted["y"])


def make_norms(tokens):
    """A graph of a norm, a sum and a norm."""
    weights = [numpy_helper.from_array(np.ones(8, np.float32), name) for name in ("scale", "shift")]
    nodes = [
        helper.make_node("LayerNormalization", ["x", "scale", "shift"], ["a"]),
        helper.make_node("Add", ["a", "shift"], ["b"]),
        helper.make_node("LayerNormalization", ["b", "scale", "shift"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", tokens, 8]) for name in ("x", "y")]
    made = helper.make_graph(nodes, "norms", ends[:1], ends[1:], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
