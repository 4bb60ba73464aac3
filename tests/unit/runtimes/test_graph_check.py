"""Graphs that no export writes are refused before a back end reads them: loops, other operators, absurd shapes."""

import contextlib
import types

import numpy as np
import onnx
import pytest
from fakes.tensorrt import make_small_graph
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from alta_runtimes import AltaError, EngineError, IntegrityError, load, private_copy
from alta_runtimes.graph_check import check_graph
from alta_runtimes.graph_shapes import RULES
from alta_runtimes.graph_tensors import Tensor
from alta_runtimes.private_copy import PrivateCopy

HUGE = 1 << 20


def make(nodes, constants=(), shape=("n", 4), opset=21):
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()]
    graph = helper.make_graph(
        nodes,
        "forged",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def node(kind, *inputs, output="y", **attributes):
    return helper.make_node(kind, list(inputs), [output], **attributes)


def loop():
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, [])],
    )
    return make([helper.make_node("Loop", ["", "yes"], [], body=body), node("Identity", "x")], {"yes": np.array(True)})


def branch():
    then = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["t"])], "t", [], [helper.make_tensor_value_info("t", 1, None)]
    )
    return make([helper.make_node("If", ["yes"], ["y"], then_branch=then, else_branch=then)], {"yes": np.array(True)})


def with_function():
    model = make([node("Identity", "x")])
    model.functions.append(
        helper.make_function("own", "Own", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [])
    )
    return model


def with_settings():
    model = make([node("Identity", "x")])
    model.metadata_props.add(key="ort_config", value='{"session_options": {"enable_profiling": 1}}')
    return model


def with_sparse_weight():
    model = make([node("Identity", "x")])
    model.graph.sparse_initializer.add()
    return model


def with_short_weight():
    model = make([node("Add", "x", "w")], {"w": np.zeros(4, np.float32)})
    model.graph.initializer[0].dims[0] = 1 << 40
    return model


FORGED = {
    "loop": loop,
    "branch": branch,
    "function": with_function,
    "settings": with_settings,
    "sparse": with_sparse_weight,
    "short weight": with_short_weight,
    "other domain": lambda: make([node("EPContext", "x", domain="com.microsoft")]),
    "other operator": lambda: make([node("RandomNormalLike", "x")]),
    "unlisted": lambda: make([node("Tile", "x", "k")], {"k": np.array([HUGE, HUGE])}),
    "newer opset": lambda: make([node("Identity", "x")], opset=22),
    "expand": lambda: make([node("Expand", "x", "k")], {"k": np.array([HUGE, HUGE, 2, 4])}),
    "expand by a computed shape": lambda: make(
        [node("Mul", "k", "k", output="kk"), node("Expand", "x", "kk")], {"k": np.array([1 << 15, 1, 4])}
    ),
    "outer product of weights": lambda: make(
        [node("MatMul", "a", "b", output="ab"), node("Identity", "x")],
        {"a": np.ones((HUGE, 1), np.float32), "b": np.ones((1, HUGE), np.float32)},
    ),
    "outer sum of weights": lambda: make(
        [node("Add", "a", "b", output="ab"), node("Identity", "x")],
        {"a": np.ones((HUGE, 1), np.float32), "b": np.ones((1, HUGE), np.float32)},
    ),
    "many large tensors": lambda: make(
        [node("Add", "a", "b", output="s0"), *(node("Add", f"s{i}", "a", output=f"s{i + 1}") for i in range(60))]
        + [node("Identity", "x")],
        {"a": np.ones((HUGE // 128, 1), np.float32), "b": np.ones((1, HUGE // 128), np.float32)},
    ),
    "many products": lambda: make(
        [
            node("Expand", "x", "k", output="p0"),
            *(node("MatMul", f"p{i}", f"p{i}", output=f"p{i + 1}") for i in range(9)),
        ],
        {"k": np.array([8192, 8192])},
        shape=(1, 1),
    ),
    "shape from values of the image": lambda: make(
        [node("Cast", "x", output="k", to=TensorProto.INT64), node("Expand", "x", "k")], shape=(4,)
    ),
    "shapes that do not fit": lambda: make([node("MatMul", "x", "w")], {"w": np.ones((5, 2), np.float32)}),
    "pooling that leaves more than there was": lambda: make(
        [node("MaxPool", "x", kernel_shape=[1, 1], pads=[HUGE, HUGE, HUGE, HUGE])], shape=(1, 1, 4, 4)
    ),
    "pooling larger than the image": lambda: make([node("MaxPool", "x", kernel_shape=[9, 9])], shape=(1, 1, 4, 4)),
    "pooling by a window of nothing": lambda: make([node("MaxPool", "x", kernel_shape=[0, 2])], shape=(1, 1, 4, 4)),
    "pooling of another kind": lambda: make(
        [node("MaxPool", "x", kernel_shape=[2, 2], ceil_mode=1)], shape=(1, 1, 5, 5)
    ),
    "mean along an axis twice": lambda: make([node("ReduceMean", "x", "k")], {"k": np.array([0, -2])}),
    "mean along an axis that is not there": lambda: make([node("ReduceMean", "x", "k")], {"k": np.array([2])}),
    "mean along axes that the image tells": lambda: make(
        [node("Cast", "x", output="k", to=TensorProto.INT64), node("ReduceMean", "x", "k")], shape=(4,)
    ),
    "mean of everything": lambda: make([node("ReduceMean", "x")]),
    "maximum along an axis that is not there": lambda: make([node("ArgMax", "x", axis=2)]),
    "elements of other axes": lambda: make([node("GatherElements", "x", "k", axis=0)], {"k": np.zeros((3, 5), int)}),
    "elements of more axes": lambda: make([node("GatherElements", "x", "k")], {"k": np.zeros((1, 2, 4), int)}),
    "elements without end": lambda: make(
        [
            node("Expand", "k", "big", output="kk"),
            node("GatherElements", "x", "kk", axis=0),
        ],
        {"k": np.zeros((1, 4), int), "big": np.array([HUGE * 512, 4])},
    ),
    "absurd input": lambda: make([node("Identity", "x")], shape=(1 << 40,)),
    "uncomputed": lambda: make([node("Identity", "nowhere")]),
    "computed twice": lambda: make([node("Identity", "x"), node("Identity", "x")]),
    "no graph": onnx.ModelProto,
}


@pytest.mark.parametrize("form", FORGED)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_forged_graphs_are_refused_before_a_back_end_reads_them(form, runtime):
    with pytest.raises(IntegrityError, match="forged.onnx "):
        load(FORGED[form]().SerializeToString(), runtime=runtime, name="forged.onnx")


CLEARING = "\x1b[2Jcleared for clinical use\x07"
ODD = [CLEARING, "a\nb", "a\x00", "a\x7f", "a\x9b2J", "a\u202eb", "a\u2028b", "a\u200b"]


def spoil_names(text):
    """Yield a graph for each text field of an ONNX file that this reader takes, with a text in it."""
    plain = make([node("LayerNormalization", "x", "w", axis=-1)], {"w": np.ones(4, np.float32)})
    places = {
        "name of a node": lambda m: m.graph.node[0],
        "name of an attribute": lambda m: m.graph.node[0].attribute[0],
        "name of a weight": lambda m: m.graph.initializer[0],
        "name of a graph": lambda m: m.graph,
        "name of an input": lambda m: m.graph.input[0],
        "name of an output": lambda m: m.graph.output[0],
    }
    for place, find in places.items():
        model = onnx.ModelProto.FromString(plain.SerializeToString())
        find(model).name = text
        yield place, model
    for place, field in {"input of a node": "input", "output of a node": "output"}.items():
        model = onnx.ModelProto.FromString(plain.SerializeToString())
        getattr(model.graph.node[0], field)[0] = text
        yield place, model
    model = onnx.ModelProto.FromString(plain.SerializeToString())
    model.graph.node[0].op_type = text
    yield "kind of a node", model
    model = onnx.ModelProto.FromString(plain.SerializeToString())
    model.graph.node[0].domain = text
    yield "domain of a node", model
    model = onnx.ModelProto.FromString(plain.SerializeToString())
    model.graph.node[0].attribute.append(helper.make_attribute("s", text))
    yield "text of an attribute", model
    model = onnx.ModelProto.FromString(plain.SerializeToString())
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = text
    yield "name of an axis", model
    model = onnx.ModelProto.FromString(plain.SerializeToString())
    model.metadata_props.add(key=text, value="x")
    yield "key of a note", model


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_control_characters_in_any_name_of_a_graph_are_refused(text):
    for place, model in spoil_names(text):
        with pytest.raises(IntegrityError, match="forged.onnx holds control characters in a name of a") as refused:
            check_graph(model.SerializeToString(), "forged.onnx")
        assert str(refused.value).isprintable(), place


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_run_that_fails_prints_nothing_of_the_graph(runtime, capfd):
    broken = make(
        [node("Cast", "x", output="i", to=TensorProto.INT64), node("Gather", "w", "i", name="cleared_for_use")],
        {"w": np.ones((3, 4), np.float32)},
    )
    session = load(broken.SerializeToString(), runtime=runtime)
    with contextlib.suppress(EngineError):  # openvino gives zeros
        session.run({"x": np.full((2, 4), 77, np.float32)})
    with pytest.raises(EngineError):
        session.run({"x": np.ones((2, 3), np.float32)})
    assert capfd.readouterr() == ("", "")


ONES = {"one": np.ones(1, np.float32)}


def grow(*shape_nodes, constants=()):
    """Return a graph that stretches one number to the shape "s", which it makes of the length "t" of its input."""
    return make(
        [
            node("Shape", "x", output="t", start=1, end=2),
            *shape_nodes,
            node("Expand", "one", "s", output="big"),
            node("Shape", "big", output="k"),
            node("Cast", "k", output="f", to=TensorProto.FLOAT),
            node("Slice", "f", "i0", "i1", output="l"),
            node("Mul", "l", "zero", output="z"),
            node("Add", "x", "z"),
        ],
        {
            **ONES,
            "zero": np.zeros(1, np.float32),
            "i0": np.array([0]),
            "i1": np.array([1]),
            **dict(constants),
        },
        shape=("n", "t"),
    )


def hump(times):
    """A shape that is small for the shortest and the longest prompts, and large between."""
    return grow(
        node("Sub", "top", "t", output="rest"),
        node("Mul", "t", "rest", output="h"),
        node("Concat", *["h"] * times, output="s", axis=0),
        constants={"top": np.array([64])},
    )


def look_up():
    table = np.ones(33, np.int64)
    table[16] = 1 << 29
    return grow(node("Gather", "table", "t", output="s"), constants={"table": table})


# By form: a graph, a length that runs, and one that would take gigabytes.
GROWING = {
    "six times the length": (lambda: grow(node("Concat", *["t"] * 6, output="s", axis=0)), 4, 64),
    "eight times the length": (lambda: grow(node("Concat", *["t"] * 8, output="s", axis=0)), 2, 16),
    "rows and length": (
        lambda: grow(node("Shape", "x", output="n"), node("Concat", *["n"] * 4, output="s", axis=0)), 2, 64),
    "large between": (lambda: hump(3), 2, 32),
    "by a table": (look_up, 2, 16),
    "a product of lengths": (
        lambda: grow(node("Mul", "t", "t", output="u"), node("Concat", *["u"] * 3, output="s", axis=0)), 2, 64),
}  # fmt: skip


@pytest.mark.parametrize("form", GROWING)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_graph_that_grows_with_its_inputs_never_runs_large(form, runtime):
    forge, short, long = GROWING[form]
    session = load(forge().SerializeToString(), runtime=runtime, name="forged.onnx")
    runs, inner = [], session._session
    session._session = types.SimpleNamespace(run=lambda inputs: runs.append(inputs) or inner.run(inputs))
    x = np.ones((8, short), np.float32)
    if form != "rows and length":
        np.testing.assert_array_equal(session.run({"x": x})["y"], x)
    for _ in range(2):
        with pytest.raises(IntegrityError, match="forged.onnx would take more memory or time"):
            session.run({"x": np.ones((8, long), np.float32)})
    assert len(runs) == (form != "rows and length")


@pytest.mark.parametrize("form", [form for form in GROWING if form not in ("large between", "by a table")])
def test_a_graph_that_grows_is_refused_at_the_longest_lengths_when_it_is_loaded(form):
    data, long = GROWING[form][0]().SerializeToString(), GROWING[form][2]
    check_graph(data, "graph", (1, 2))
    with pytest.raises(IntegrityError, match="would take more"):
        check_graph(data, "graph", (8, long))


def test_tensors_that_nothing_needs_any_more_are_not_counted_as_memory():
    wide = np.ones((1, 1 << 20), np.float32)
    chain = [node("Add", f"s{i}", "a", output=f"s{i + 1}") for i in range(12)]
    column = node("MatMul", "x", "w", output="c")
    first = node("Add", "c", "a", output="s0")

    def build(*last):
        return make([column, first, *chain, *last], {"w": np.ones((4, 1), np.float32), "a": wide}).SerializeToString()

    sizes = check_graph(build(node("Identity", "s12")), "graph")
    sizes.check_lengths((128, 1))  # 13 tensors of 2^27 elements, of which two are alive at once
    kept = [node("Add", f"s{i}", f"u{i - 1}" if i else "s12", output=f"u{i}") for i in range(12)]
    with pytest.raises(IntegrityError, match="would take more"):
        check_graph(build(*kept, node("Identity", "u11")), "graph").check_lengths((128, 1))


@pytest.mark.parametrize(
    "kinds", [("Expand", {"k": np.array([3, 2, 4])}), ("Reshape", {"k": np.array([2, -1, 2])}), ("Add", {"k": 1.0})]
)
def test_sane_graphs_are_taken(kinds):
    kind, constants = kinds
    constants = {
        name: np.asarray(value, np.float32 if kind == "Add" else np.int64) for name, value in constants.items()
    }
    check_graph(make([node(kind, "x", "k")], constants).SerializeToString(), "graph")


@pytest.mark.parametrize(
    ("kind", "constants", "attributes", "shape"),
    [
        ("Relu", {}, {}, (2, 3)),
        ("Sigmoid", {}, {}, (2, 3)),
        ("MaxPool", {}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, (2, 3, 9, 8)),
        ("MaxPool", {}, {"kernel_shape": [2], "dilations": [3]}, (2, 3, 9)),
        ("ReduceMean", {"k": np.array([2, 3])}, {"keepdims": 0}, (2, 3, 5, 4)),
        ("ReduceMean", {"k": np.array([-1])}, {}, (2, 3, 5, 4)),
        ("ArgMax", {}, {"axis": -1, "keepdims": 0}, (2, 3)),
        ("ArgMax", {}, {}, (2, 3)),
        ("GatherElements", {"k": np.zeros((2, 1, 4), int)}, {"axis": 1}, (2, 3, 4)),
        ("GatherElements", {"k": np.zeros((7, 2), int)}, {}, (2, 3)),
    ],
)
def test_shapes_are_those_that_the_back_end_makes(kind, constants, attributes, shape):
    graph = make([node(kind, "x", *constants, **attributes)], constants, shape)
    if kind == "ArgMax":
        graph.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    made = load(graph.SerializeToString(), runtime="onnxruntime").run({"x": np.ones(shape, np.float32)})["y"]
    inputs = [Tensor(shape), *(Tensor(value.shape, value) for value in constants.values())]
    assert RULES[kind](attributes, inputs)[0].shape == made.shape


@given(st.data())
def test_any_changed_bytes_are_a_graph_or_an_error_of_ours(data):
    whole = bytearray(make_small_graph())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        check_graph(bytes(whole if cut % 2 else whole[:cut]), "graph")
    except AltaError as error:
        assert str(error).startswith("graph ")


def test_a_file_of_endless_parts_is_refused():
    with pytest.raises(IntegrityError, match="parts"):
        check_graph(b"\x72\x00" * 1_000_001, "graph")


@pytest.mark.parametrize("is_bytes", [False, True])
def test_a_private_copy_gives_what_was_written_whatever_the_system_has(is_bytes, monkeypatch):
    if is_bytes:
        monkeypatch.delattr(private_copy.os, "memfd_create", raising=False)
    data, x = make_small_graph(), {"x": np.ones((2, 4), np.float32), "k": np.ones((2, 1), np.int64)}
    expected = load(data, runtime="onnxruntime").run(x)["y"]
    for runtime in ("onnxruntime", "openvino"):
        with PrivateCopy() as copy:
            copy.write(data[:100])
            copy.write(data[100:])
            assert bytes(copy.view()) == data
            assert isinstance(copy.source, bytes) == is_bytes or not is_bytes
            session = load(copy, runtime=runtime)
        np.testing.assert_array_equal(session.run(x)["y"], expected)
    with PrivateCopy() as empty, pytest.raises(IntegrityError, match="no graph"):
        load(empty, runtime="onnxruntime")
