"""Convolutions in every precision: which are lowered, under which names, and that back ends run them so."""

import numpy as np
import onnx
import onnxruntime
import pytest
from fakes.biovil import make_image_weights
from onnx import TensorProto, numpy_helper

from alta_export.biovil_towers import MergedBiovilT
from alta_export.graph import find_products, pixel_inputs
from alta_export.precision import PrecisionPlan, apply_precision, read_precision
from alta_export.quantize import OUTPUT, find_pixel_products, find_sums, list_lowered, list_ranged_tensors
from alta_export.ranges import measure_ranges
from alta_export.tensorrt_graph import check_for_tensorrt
from alta_export.verify import make_radiographs
from alta_runtimes import load
from alta_sdk.errors import ExportError
from alta_training.families.biovil import read_biovil_t_image

PX = 448
KEPT = frozenset({"trunk.stem", "projector.first", "projector.last"})


@pytest.fixture(scope="module")
def trunk(trace_once):
    weights = {name: tensor for name, tensor in make_image_weights().items() if ".fc." not in name}
    tower = MergedBiovilT(read_biovil_t_image(weights)).eval()
    return trace_once(tower, pixel_inputs(PX), ["features", "projection", "patches"])


@pytest.fixture(scope="module")
def ranges(trunk):
    return measure_ranges(trunk, [{"pixels": one[None]} for one in make_radiographs(3, PX)], "minmax")


@pytest.fixture(scope="module")
def int8(trunk, ranges):
    return apply_precision(trunk, PrecisionPlan("int8", KEPT), ranges)


def list_conv_names(graph):
    return [node.name for node in graph.graph.node if node.op_type == "Conv"]


def test_convolutions_are_named_after_their_layers(trunk):
    names = list(find_products(trunk))
    assert names == list_conv_names(trunk) and len(names) == len(set(names)) == 56
    assert names[0] == "trunk.stem" and names[-3:] == ["to_static", "projector.first", "projector.last"]
    assert {"trunk.blocks.0.conv1", "trunk.blocks.0.skip", "trunk.blocks.15.conv3"} <= set(names)
    assert find_pixel_products(trunk) == {"trunk.stem"}


def test_the_embedding_of_patches_is_no_such_product(image_graph):
    assert list_conv_names(image_graph) and not set(list_conv_names(image_graph)) & find_products(image_graph).keys()
    assert not find_sums(image_graph) and not find_pixel_products(image_graph)
    assert list_ranged_tensors(image_graph).keys() == find_products(image_graph).keys()


def test_every_block_has_one_sum_and_their_ranges_are_measured(trunk, ranges):
    sums = find_sums(trunk)
    assert list(sums) == [f"trunk.blocks.{number}.conv3.sum" for number in range(16)]
    assert len(sums["trunk.blocks.0.conv3.sum"].sources) == 2 and len(sums["trunk.blocks.1.conv3.sum"].sources) == 1
    outputs = {name for name in ranges if name.endswith(OUTPUT)}
    assert len(outputs) == 16 + 4 and ranges.keys() == list_ranged_tensors(trunk).keys()
    assert all(low < 0 < high for low, high in (ranges[name] for name in outputs))


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_what_was_achieved_is_read_back_by_layer(trunk, ranges, precision):
    achieved = read_precision(apply_precision(trunk, PrecisionPlan(precision, KEPT), ranges))
    assert achieved.keys() == find_products(trunk).keys()
    assert {name for name, kind in achieved.items() if kind == "fp32"} == KEPT
    assert set(achieved.values()) == {precision, "fp32"}


def test_weights_are_signed_by_output_channel_and_activations_unsigned_by_tensor(trunk, int8):
    stored = {item.name: item for item in int8.graph.initializer}
    made_by = {output: node for node in int8.graph.node for output in node.output}
    widths = {name: node.input[1] for name, node in find_products(trunk).items()}
    channels = {item.name: item.dims[0] for item in trunk.graph.initializer}
    for node in int8.graph.node:
        if node.op_type != "Conv" or node.name in KEPT:
            continue
        activation, weight = (made_by[name] for name in node.input[:2])
        assert stored[weight.input[0]].data_type == TensorProto.INT8
        assert numpy_helper.to_array(stored[weight.input[1]]).shape == (channels[widths[node.name]],)
        assert not numpy_helper.to_array(stored[weight.input[2]]).any()
        assert numpy_helper.to_array(stored[activation.input[1]]).shape == ()
        assert stored[activation.input[2]].data_type == TensorProto.UINT8


def test_only_lowered_convolutions_and_their_sums_read_rounded_values(trunk, int8):
    made_by = {output: node.op_type for node in int8.graph.node for output in node.output}
    readers = {
        node.name for node in int8.graph.node if any(made_by.get(name) == "DequantizeLinear" for name in node.input[:1])
    }
    sums = {one.node.name for one in find_sums(trunk).values()}
    assert not readers & KEPT
    assert readers == sums | (set(list_conv_names(int8)) - KEPT)
    pool = next(node for node in int8.graph.node if node.op_type == "MaxPool")
    assert made_by[pool.input[0]] == "Relu"


def test_a_sum_that_is_kept_reads_what_was_not_rounded(trunk, ranges):
    name = "trunk.blocks.1.conv3.sum"
    for kept in ({name}, {name.removesuffix(".sum")}):
        graph = apply_precision(trunk, PrecisionPlan("int8", KEPT | kept), ranges)
        made_by = {output: node.op_type for node in graph.graph.node for output in node.output}
        node = next(one for one in graph.graph.node if one.name == find_sums(trunk)[name].node.name)
        assert [made_by[tensor] for tensor in node.input] == ["Conv", "Relu"]


def test_a_plan_of_unknown_layers_or_without_ranges_is_refused(trunk, ranges):
    assert set(list_lowered(trunk, "int8", symmetric=False)) - find_products(trunk).keys() == find_sums(trunk).keys()
    for precision, symmetric in (("fp16", False), ("int8", True)):
        with pytest.raises(ExportError, match=r"does not have: trunk\.blocks\.0\.conv3\.sum"):
            plan = PrecisionPlan(precision, frozenset({"trunk.blocks.0.conv3.sum"}))
            apply_precision(trunk, plan, ranges, symmetric=symmetric)
    lacking = {name: ends for name, ends in ranges.items() if name != "trunk.blocks.0.skip.out"}
    with pytest.raises(ExportError, match=r"lacks ranges for trunk\.blocks\.0\.skip\.out"):
        apply_precision(trunk, PrecisionPlan("int8", KEPT), lacking)


def test_onnxruntime_runs_them_in_eight_bits(int8, tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "run.onnx"), 4
    onnxruntime.InferenceSession(int8.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "run.onnx").graph.node]
    assert kinds.count("QLinearConv") == 52  # all but the three that are kept, and `to_static`, which gives features
    assert kinds.count("QLinearAdd") == 16


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_both_runtimes_find_the_inputs_by_the_graphs_names(trunk, ranges, runtime):
    """Pixels whose range is that of their type round to themselves: OpenVINO leaves that step out, and its name."""
    whole = {**ranges, "trunk.stem": (0.0, 255.0)}
    graph = apply_precision(trunk, PrecisionPlan("int8", KEPT - {"trunk.stem"}), whole)
    seen = load(graph.SerializeToString(), runtime=runtime).run({"pixels": make_radiographs(1, PX)})
    assert seen.keys() == {"features", "projection", "patches"} and np.isfinite(seen["projection"]).all()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_every_precision_can_be_parsed_by_tensorrt(trunk, ranges, precision):
    kept = KEPT if precision == "int8" else frozenset()
    graph = apply_precision(trunk, PrecisionPlan(precision, kept), ranges, symmetric=True)
    check_for_tensorrt("image", graph)
    pairs = [node for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    stored = {item.name: item for item in graph.graph.initializer}
    assert bool(pairs) == (precision == "int8")
    assert all(stored[node.input[2]].data_type == TensorProto.INT8 for node in pairs)
