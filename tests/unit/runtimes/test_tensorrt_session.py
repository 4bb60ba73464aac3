"""TensorRT plans: the driver first, the plan's origin next, and only then TensorRT; runs are right in many threads.

No GPU computes here: the fake is held to the real bindings' API, see fakes/tensorrt.py.
"""

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fakes.cuda import FakeCuda
from fakes.tensorrt import MAGIC, make_small_graph

from alta_runtimes import EngineError, RuntimeUnavailable, available, load
from alta_runtimes.tensorrt_session import is_available

ORIGIN = {"gpu": "NVIDIA Example 4000", "compute_capability": "8.9", "tensorrt": "11.4.0.106", "cuda": "13.2"}
HEAD = (
    b'{"flags": ["VERSION_COMPATIBLE"], "verbosity": "DETAILED", '
    b'"profiles": [{"x": [[1, 4], [1, 4], [16, 4]], "k": [[1, 1], [1, 1], [16, 1]]}]}\n'
)


@pytest.fixture(scope="module")
def plan():
    return MAGIC + HEAD + make_small_graph()


def open_plan(plan, **changes):
    return load(plan, runtime="tensorrt", compute="plan", built_on={**ORIGIN, **changes})


def make_inputs(rows, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(rows, 4)).astype(np.float32), "k": rng.integers(0, 9, (rows, 1))}


def expect(inputs):
    return inputs["x"] @ np.arange(12, dtype=np.float32).reshape(4, 3) + inputs["k"].astype(np.float32)


def test_a_plan_computes_what_its_graph_says(gpu, plan, tmp_path):
    (tmp_path / "image.plan").write_bytes(plan)
    session = open_plan(tmp_path / "image.plan")
    info = session.info
    assert (info.runtime, info.version, info.device) == ("tensorrt", "11.4.0.106", "cuda")
    for rows in (1, 16, 3):
        inputs = make_inputs(rows)
        np.testing.assert_allclose(session.run(inputs)["y"], expect(inputs), rtol=1e-5)


def test_threads_run_at_once_and_do_not_mix(gpu, plan):
    session = open_plan(plan)
    every = [make_inputs(1 + seed % 16, seed) for seed in range(64)]
    with ThreadPoolExecutor(8) as pool:
        for inputs, outputs in zip(every, pool.map(session.run, every), strict=True):
            np.testing.assert_allclose(outputs["y"], expect(inputs), rtol=1e-5)
    assert gpu.cuda.calls["cuStreamCreate"] <= 8  # lanes are used again
    assert gpu.cuda.calls["cuCtxSetCurrent"] >= 64  # each thread has to say which GPU


def test_memory_of_the_gpu_is_given_back(gpu, plan):
    session = open_plan(plan)
    session.run(make_inputs(2))
    assert gpu.cuda.memory
    before = gpu.cuda.calls["cuCtxSetCurrent"]
    del session
    gc.collect()
    assert gpu.cuda.calls["cuCtxSetCurrent"] - before == 4  # a stream and three buffers, from whichever thread
    assert not gpu.cuda.memory
    assert gpu.cuda.calls["cuStreamDestroy_v2"] == gpu.cuda.calls["cuStreamCreate"] == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"gpu": "NVIDIA Other"}, r"built on NVIDIA Other .*here is NVIDIA Example 4000 \(8\.9\): build it for"),
        ({"compute_capability": "9.0"}, "compute capability 9.0"),
        ({"tensorrt": "11.3.0.2"}, r"pip install tensorrt-lean-cu13==11\.3\.0\.2, or build it for this machine"),
    ],
)
def test_a_plan_of_another_machine_is_refused_before_tensorrt_is_imported(gpu, plan, changes, told, monkeypatch):
    monkeypatch.setattr("alta_runtimes.tensorrt_library.open_library", lambda name: pytest.fail("imported"))
    with pytest.raises(RuntimeUnavailable, match=told):
        open_plan(plan, **changes)


@pytest.mark.parametrize("cuda", [FakeCuda(()), FakeCuda(cuInit=100), None])
def test_without_a_driver_tensorrt_is_never_imported(gpu, plan, cuda, monkeypatch):
    if cuda is None:
        monkeypatch.setattr("alta_runtimes.driver._open_library", refuse)
    gpu.cuda = cuda
    monkeypatch.setattr("alta_runtimes.tensorrt_library.open_library", lambda name: pytest.fail("imported"))
    with pytest.raises(RuntimeUnavailable, match="runtime tensorrt does not work here: .*NVIDIA driver"):
        open_plan(plan)
    assert is_available().devices == ()


def refuse(name):
    raise OSError("no such library")


def test_a_plan_without_its_origin_is_refused(gpu, plan):
    with pytest.raises(RuntimeUnavailable, match="only loaded from a bundle"):
        load(plan, runtime="tensorrt", compute="plan")


def test_a_damaged_plan_is_an_error_of_ours_with_tensorrts_word(gpu):
    with pytest.raises(EngineError, match="plan: tensorrt cannot read this plan: Serialization assertion failed; b"):
        open_plan(b"not a plan")


def test_a_plan_for_the_full_runtime_is_refused_by_the_lean_one(gpu):
    with pytest.raises(EngineError, match="cannot read this plan"):
        open_plan(MAGIC + HEAD.replace(b"VERSION_COMPATIBLE", b"EXCLUDE") + make_small_graph())


def test_the_full_runtime_is_taken_where_the_lean_one_is_missing(gpu, plan):
    gpu.install("tensorrt")
    inputs = make_inputs(1)
    np.testing.assert_allclose(open_plan(plan).run(inputs)["y"], expect(inputs), rtol=1e-5)
    gpu.install()
    assert is_available().reason == "not installed: pip install 'alta-sdk[trt]'"


def test_a_batch_beyond_the_profile_is_refused_and_the_session_lives_on(gpu, plan):
    session = open_plan(plan)
    with pytest.raises(EngineError, match=r"x has shape \(17, 4\); this engine was built for \(1, 4\) to \(16, 4\)"):
        session.run(make_inputs(17))
    with pytest.raises(EngineError, match="k must be int64, given int32"):
        session.run({**make_inputs(1), "k": np.zeros((1, 1), np.int32)})
    session.run(make_inputs(16))
    assert gpu.cuda.calls["cuStreamCreate"] == 1


@pytest.mark.parametrize("function", ["cuMemAlloc_v2", "cuMemcpyHtoDAsync_v2", "cuStreamSynchronize"])
def test_a_gpu_that_fails_is_an_error_of_ours(gpu, plan, function):
    session = open_plan(plan)
    gpu.cuda.fail[function] = 2
    with pytest.raises(EngineError, match=f"the GPU stopped: the NVIDIA driver's {function} failed with CUDA error 2"):
        session.run(make_inputs(1))


def test_a_plan_runs_on_a_gpu_only(gpu, plan):
    with pytest.raises(RuntimeUnavailable, match="on cpu"):
        load(plan, runtime="tensorrt", compute="plan", built_on=ORIGIN, device="cpu")


def test_importing_the_runtimes_and_asking_what_works_imports_no_tensorrt():
    code = (
        "import alta_runtimes, sys; alta_runtimes.available();"
        "print([name for name in sys.modules if name.startswith('tensorrt')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_this_machine_says_what_is_missing_for_tensorrt():
    info = next(info for info in available() if info.name == "tensorrt")
    assert info.is_available or info.reason
