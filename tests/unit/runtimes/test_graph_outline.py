"""A graph without its weights: all of it that is looked into, in whatever blocks it comes, and the same verdict."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from alta_runtimes import IntegrityError
from alta_runtimes.graph_check import check_graph
from alta_runtimes.graph_outline import KEPT_BYTES, take_outline

WIDE = np.arange(1, 1 + 8 * KEPT_BYTES, dtype=np.float32).reshape(4, -1)
SHAPE = np.arange(1, 65)


def make_graph():
    """A graph with a weight that is passed over, one that is a shape, and one that is stored by type."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "wide"], ["a"]),
            helper.make_node("Gather", ["shape", "first"], ["b"], name="kept"),
            helper.make_node("Identity", ["a"], ["y"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(SHAPE, "shape"),
            numpy_helper.from_array(WIDE, "wide"),
            helper.make_tensor("first", TensorProto.INT64, [1], [0]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


DATA = make_graph()


def cut(data, size):
    return (data[start : start + size] for start in range(0, len(data), size))


def judge(data):
    """Return what is said of a graph: a refusal, or the weights' shapes and values."""
    try:
        sizes = check_graph(data, "graph", (16, 1))
    except IntegrityError as error:
        return str(error)
    return {
        name: (one.shape, None if one.values is None else one.values.tolist()) for name, one in sizes.weights.items()
    }


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_all_is_kept_but_the_bytes_of_large_weights(size):
    outline = bytes(take_outline(cut(DATA, size), len(DATA)))
    assert outline == DATA.replace(WIDE.tobytes(), bytes(WIDE.nbytes))
    assert outline != DATA


def test_the_verdict_is_that_of_the_whole_file():
    assert judge(take_outline(cut(DATA, 1000), len(DATA))) == judge(DATA)
    assert judge(DATA)["shape"] == ((64,), SHAPE.tolist())


@given(st.data())
def test_the_verdict_on_a_spoiled_file_is_that_of_the_whole_file(data):
    spoiled = bytearray(DATA)
    outside = len(DATA) - WIDE.nbytes
    start = DATA.index(WIDE.tobytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, outside - 1))
        spoiled[place if place < start else place + WIDE.nbytes] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(DATA)), st.integers(0, len(DATA))))
    forged = bytes(spoiled[:end])
    assert judge(take_outline(cut(forged, 5000), len(forged))) == judge(forged)


@given(st.binary(max_size=300))
def test_what_is_no_graph_is_kept_whole(noise):
    assert bytes(take_outline(cut(noise, 50), len(noise))) == noise


def test_every_block_is_taken_and_its_refusal_passed_on():
    def blocks():
        yield from cut(DATA, 999)
        raise IntegrityError("was changed")

    with pytest.raises(IntegrityError, match="was changed"):
        take_outline(blocks(), len(DATA))


def test_weights_beside_the_graph_are_kept_for_the_check_to_refuse():
    model = onnx.ModelProto.FromString(DATA)
    model.graph.sparse_initializer.add()
    spoiled = model.SerializeToString()
    assert "sparse weights" in judge(take_outline(cut(spoiled, 999), len(spoiled)))
