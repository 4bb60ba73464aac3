"""TensorRT's lean runtime on the GPU itself: what is no plan of this machine is refused, and no process crashes."""

import pytest

from alta_runtimes import EngineError, RuntimeUnavailable, available, load
from alta_runtimes.driver import probe_driver
from alta_runtimes.tensorrt_session import find_runtime


@pytest.fixture
def origin():
    """What a plan of this machine says of itself."""
    found = find_runtime()
    if found is None:
        pytest.skip("no NVIDIA GPU for TensorRT: alta-sdk[trt] is not installed")
    state = probe_driver()
    gpu = state.gpus[0]
    capability = gpu.compute_capability
    return {"gpu": gpu.name, "compute_capability": capability, "tensorrt": found[1], "cuda": state.cuda}


def test_the_lean_runtime_works_beside_the_driver(origin):
    info = next(info for info in available() if info.name == "tensorrt")
    assert (info.version, info.devices, info.reason) == (origin["tensorrt"], ("cuda",), "")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"gpu": "NVIDIA Example 4000"}, "was built on NVIDIA Example 4000"),
        ({"compute_capability": "1.0"}, "compute capability 1.0"),
        ({"tensorrt": "10.0.1"}, "was built with TensorRT 10.0.1"),
    ],
)
def test_a_plan_of_another_machine_is_refused_before_it_is_read(origin, changes, told):
    with pytest.raises(RuntimeUnavailable, match=told):
        load(b"a plan", runtime="tensorrt", compute="plan", built_on={**origin, **changes})


@pytest.mark.parametrize("plan", [b"", b"no plan at all", bytes(100_000), b"ftrt" + bytes(1000)])
def test_what_is_no_plan_is_refused_in_one_line(origin, plan):
    with pytest.raises(EngineError, match="tensorrt cannot read this plan") as refused:
        load(plan, runtime="tensorrt", compute="plan", built_on=origin)
    assert "\n" not in str(refused.value)
