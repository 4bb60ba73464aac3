"""golden/tensorrt_api.json is what NVIDIA's bindings say today, and the fake keeps to it."""

import importlib.util
import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from fakes.cuda import FakeCuda
from fakes.tensorrt import make_tensorrt
from fakes.tensorrt_api import API, hold_to_api

MAKER = Path(__file__).parents[2] / "golden" / "make_tensorrt_api.py"


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt_lean"])
def test_the_kept_api_is_that_of_the_bindings(name):
    if importlib.util.find_spec(f"{name}_bindings") is None:
        pytest.skip(f"TensorRT's bindings absent: pip install {name.replace('_', '-')}-cu13-bindings")
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("no C compiler to make the libraries that the bindings are linked to")
    found = runpy.run_path(str(MAKER))["read_api"]((name,))[name]
    assert found == API[name]
    assert json.dumps(found)  # plain data


def test_the_fake_refuses_what_the_bindings_refuse():
    trt = make_tensorrt(FakeCuda())

    class Quiet(trt.ILogger):
        def log(self, severity, msg):
            pass

    builder = trt.Builder(Quiet())
    config = builder.create_builder_config()
    for call in (
        lambda: builder.create_network("strongly typed"),
        lambda: builder.create_network(0, 0),
        lambda: config.set_flag(1),
        lambda: config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE),
        lambda: config.set_timing_cache(cache=b"", ignore_mismatch=False),
        lambda: trt.OnnxParser(builder.create_network()),
        lambda: builder.build_engine_with_config(config, builder.create_network()),
    ):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            call()
    with pytest.raises(AttributeError, match="cannot be set"):
        config.max_workspace_size = 1
    with pytest.raises(AttributeError):
        trt.BuilderFlag.FP16  # noqa: B018  # gone since TensorRT 11
    assert not hasattr(make_tensorrt(FakeCuda(), "tensorrt_lean"), "Builder")


def test_the_fake_cannot_grow_what_the_bindings_lack():
    old = type("Builder", (), {"build_cuda_engine": lambda self, network: None})
    with pytest.raises(AssertionError, match="Builder.build_cuda_engine is not in the bindings"):
        hold_to_api(old, API["tensorrt"], make_tensorrt(FakeCuda()))
