"""Building plans: the calls as the real bindings take them, and what was built is read back and checked."""

import json

import numpy as np
import onnx
import pytest
from fakes.tensorrt import MAGIC, make_small_graph, make_tensorrt

from alta_runtimes import EngineError, RuntimeUnavailable, load
from alta_runtimes.tensorrt_build import BuildOptions, build_plan, check_achieved, find_builder, read_layers

PROFILE = {"x": ((1, 4), (1, 4), (16, 4)), "k": ((1, 1), (1, 1), (16, 1))}
FP32 = BuildOptions("fp32")


def read_facts(built):
    assert built.plan.startswith(MAGIC)  # nothing of ours in front: NVIDIA's own tools read the file
    return json.loads(built.plan[len(MAGIC) :].split(b"\n", 1)[0])


def test_a_built_plan_runs_where_it_was_built(gpu):
    built = build_plan(make_small_graph(), PROFILE, FP32)
    origin = find_builder()
    assert origin.describe() == {
        "gpu": "NVIDIA Example 4000",
        "compute_capability": "8.9",
        "tensorrt": "11.4.0.106",
        "cuda": "13.2",
    }
    session = load(built.plan, runtime="tensorrt", compute="plan", built_on=origin.describe())
    outputs = session.run({"x": np.ones((2, 4), np.float32), "k": np.full((2, 1), 5)})
    np.testing.assert_allclose(outputs["y"], np.full((2, 3), 1) * [23, 27, 31], rtol=1e-6)
    assert built.layers == {"fp32": 3}


def test_plans_are_for_the_lean_runtime_and_hold_fp32_in_fp32(gpu):
    facts = read_facts(build_plan(make_small_graph(), PROFILE, FP32))
    assert facts["flags"] == ["EXCLUDE_LEAN_RUNTIME", "VERSION_COMPATIBLE"]  # and TF32 is gone
    assert facts["profiles"][0]["x"] == [[1, 4], [1, 4], [16, 4]]
    assert facts["workspace"] is None
    limited = build_plan(make_small_graph(), PROFILE, BuildOptions("fp32", workspace_bytes=1 << 30))
    assert read_facts(limited)["workspace"] == 1 << 30


def test_timings_are_kept_for_the_next_build_and_those_of_another_version_left_aside(gpu):
    first = build_plan(make_small_graph(), PROFILE, FP32)
    assert build_plan(make_small_graph(), PROFILE, FP32, first.timing_cache).timing_cache == b"timed" * 2
    assert build_plan(make_small_graph(), PROFILE, FP32, b"other version").timing_cache == b"timed"


def test_a_precision_that_tensorrt_did_not_build_is_refused(gpu):
    with pytest.raises(EngineError, match="built no fp16 layer, though the graph asks for it: 3 in fp32"):
        build_plan(make_small_graph(), PROFILE, BuildOptions("fp16"))
    with pytest.raises(EngineError, match="lowered the precision of an fp32 graph: 3 in fp16, 1 in fp32"):
        check_achieved("fp32", {"fp16": 3, "fp32": 1})
    with pytest.raises(EngineError, match="cannot be checked"):
        check_achieved("fp16", read_layers('{"Layers": ["a name alone"]}'))
    check_achieved("int8", {"fp32": 9, "int8": 1})


def test_layers_are_counted_by_the_types_they_touch():
    layers = [
        {"Inputs": [{"DataType": "Float"}], "Outputs": [{"DataType": "Half"}]},
        {"Inputs": [{"DataType": "Half"}, {"DataType": "Half"}], "Outputs": []},
        {"Inputs": [{"DataType": "Int64"}, {"DataType": "Int8"}]},
    ]
    assert read_layers(json.dumps({"Layers": layers})) == {"fp16": 2, "fp32": 1, "int8": 1}


def test_a_graph_that_tensorrt_cannot_read_is_told_with_its_node(gpu):
    graph = onnx.load_from_string(make_small_graph())
    graph.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(EngineError, match="TensorRT cannot read the graph: some_node: No Op registered for NoSuch"):
        build_plan(graph.SerializeToString(), PROFILE, FP32)


def test_a_build_that_fails_is_told_with_tensorrts_word(gpu):
    with pytest.raises(EngineError, match="cannot build this engine: Network has dynamic inputs"):
        build_plan(make_small_graph(), {"x": PROFILE["x"]}, FP32)
    with pytest.raises(EngineError, match="cannot build this engine"):
        build_plan(make_small_graph(), {**PROFILE, "x": ((2, 4), (1, 4), (1, 4))}, FP32)


def test_nothing_is_built_without_a_gpu_or_a_builder(gpu, monkeypatch):
    gpu.install("tensorrt_lean")
    with pytest.raises(RuntimeUnavailable, match=r"builder is not installed: pip install 'alta-sdk\[trt-build\]'"):
        find_builder()
    gpu.install("tensorrt", tensorrt="10.13.0.35")
    with pytest.raises(RuntimeUnavailable, match="TensorRT 10.13.0.35 is installed; engines are built with 11"):
        find_builder()
    gpu.install("tensorrt", "tensorrt_lean", tensorrt_lean="11.5.0.1")
    with pytest.raises(RuntimeUnavailable, match="11.4.0.106 would build and 11.5.0.1 run"):
        find_builder()
    gpu.cuda.names = ()
    with pytest.raises(RuntimeUnavailable, match="built on the GPU that runs them; here the NVIDIA driver sees no GPU"):
        find_builder()


def test_without_a_driver_tensorrt_is_not_imported(monkeypatch):
    monkeypatch.setattr("alta_runtimes.driver._open_library", refuse)
    monkeypatch.setattr("alta_runtimes.tensorrt_library.open_library", lambda name: pytest.fail("imported"))
    with pytest.raises(RuntimeUnavailable, match="TensorRT engines are built on the GPU that runs them; here is no NV"):
        build_plan(make_small_graph(), PROFILE, FP32)


def refuse(name):
    raise OSError("no such library")


def test_the_real_builder_is_not_part_of_the_lean_package(gpu):
    assert not hasattr(make_tensorrt(gpu.cuda, "tensorrt_lean"), "OnnxParser")
