"""onnxruntime on a GPU: never a silent fall back to the CPU, and the binding's calls as onnxruntime takes them.

No GPU computes here: the CPU provider stands in for CUDA's, with everything else onnxruntime's own.
"""

import numpy as np
import onnxruntime
import pytest
from fakes.tensorrt import make_small_graph

from alta_runtimes import (
    EngineError,
    IntegrityError,
    RuntimeUnavailable,
    available,
    choose_runtime,
    load,
    onnxruntime_cuda,
)
from alta_runtimes.driver import DriverState, Gpu

STATE = DriverState((Gpu(0, "NVIDIA Example 4000", "8.9"),), "13.2")


@pytest.fixture
def machine(monkeypatch):
    """A machine with onnxruntime-gpu and a driver."""
    monkeypatch.setattr(onnxruntime_cuda, "version", lambda package: "1.32.0")
    monkeypatch.setattr(onnxruntime_cuda, "probe_driver", lambda: STATE)


@pytest.fixture
def stand_in(machine, monkeypatch):
    """Such a machine, with the CPU in the GPU's place."""
    monkeypatch.setattr(onnxruntime_cuda, "PROVIDER", "CPUExecutionProvider")
    monkeypatch.setattr(onnxruntime_cuda, "SETTINGS", {})
    monkeypatch.setattr(onnxruntime_cuda, "DEVICE", "cpu")


def test_without_onnxruntime_gpu_the_message_says_what_to_install():
    with pytest.raises(RuntimeUnavailable, match=r"on cuda: onnxruntime-gpu is not installed: pip uninstall onnxrun"):
        load(make_small_graph(), device="cuda", runtime="onnxruntime")


def test_without_a_driver_the_message_says_so(machine, monkeypatch):
    monkeypatch.setattr(onnxruntime_cuda, "probe_driver", lambda: DriverState((), "", "no NVIDIA driver (x)"))
    with pytest.raises(RuntimeUnavailable, match=r"does not work here on cuda: no NVIDIA driver \(x\)"):
        load(make_small_graph(), device="cuda", runtime="onnxruntime")
    with pytest.raises(RuntimeUnavailable, match="openvino: runs on the CPU alone; onnxruntime: no NVIDIA driver"):
        choose_runtime(device="cuda")


def test_the_cpu_package_over_the_gpu_package_is_told(machine):
    with pytest.raises(RuntimeUnavailable, match="CPU package hides onnxruntime-gpu"):
        load(make_small_graph(), device="cuda", runtime="onnxruntime")


def test_a_fall_back_to_the_cpu_is_refused(machine, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    real = onnxruntime.InferenceSession

    def fall_back(graph, sess_options, providers):
        assert providers == [("CUDAExecutionProvider", {"use_tf32": "0"})]
        return real(graph, sess_options=sess_options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", fall_back)
    with pytest.raises(RuntimeUnavailable, match="gave CPUExecutionProvider in place of the GPU: a library of CUDA"):
        load(make_small_graph(), device="cuda", runtime="onnxruntime")


def test_the_gpu_is_taken_where_it_works_and_the_cpu_on_demand(machine):
    info = next(info for info in available() if info.name == "onnxruntime")
    assert info.devices == ("cpu", "cuda")
    assert choose_runtime()[0] == "onnxruntime"  # before OpenVINO, which has no GPU
    assert "openvino runs on the CPU alone" in choose_runtime()[1]
    assert choose_runtime(device="cpu")[0] == "openvino"
    assert choose_runtime("bf16")[0] == "openvino"
    assert load(make_small_graph(), device="cpu", runtime="onnxruntime").info.device == "cpu"


def test_bound_runs_give_what_plain_runs_give(stand_in):
    session = load(make_small_graph(), device="cuda", runtime="onnxruntime")
    plain = load(make_small_graph(), device="cpu", runtime="onnxruntime")
    assert isinstance(session._session, onnxruntime_cuda.CudaSession)
    for rows in (1, 5):
        inputs = {
            "x": np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32),
            "k": np.ones((rows, 1), int),
        }
        np.testing.assert_array_equal(session.run(inputs)["y"], plain.run(inputs)["y"])
    with pytest.raises(EngineError, match="could not run on the GPU"):
        session.run({**inputs, "x": inputs["x"].astype(np.float64)})
    with pytest.raises(EngineError, match="graph: onnxruntime cannot load this graph on the GPU"):
        onnxruntime_cuda.open_cuda_session(b"no graph", "graph", 1)
    with pytest.raises(IntegrityError, match="graph is not an ONNX file"):
        load(b"no graph", device="cuda", runtime="onnxruntime")
