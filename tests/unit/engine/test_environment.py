"""What is told of a machine: onnxruntime of either package, and the GPU."""

from importlib.metadata import PackageNotFoundError

import pytest
from click.testing import CliRunner
from conftest import export_quietly

from alta_export import describe
from alta_runtimes import onnxruntime_session
from alta_runtimes.driver import DriverState, Gpu
from alta_sdk.cli import main
from alta_sdk.engine import environment

GPU_VERSION = "1.31.1"


@pytest.fixture
def gpu_package_alone(monkeypatch):
    """A machine whose onnxruntime came with onnxruntime-gpu, as docs/tensorrt.md says to install it."""

    def find(known):
        def version(package):
            if package == "onnxruntime":
                raise PackageNotFoundError(package)
            return GPU_VERSION if package == "onnxruntime-gpu" else known(package)

        return version

    for module in (onnxruntime_session, environment, describe):
        monkeypatch.setattr(module, "version", find(module.version))


def test_onnxruntime_is_told_of_whichever_package_it_came_in(gpu_package_alone):
    assert environment.describe_environment().facts["onnxruntime"] == GPU_VERSION


def test_an_engine_is_exported_where_onnxruntime_came_with_the_gpu_package(gpu_package_alone, export_options):
    manifest = export_quietly(export_options()).manifest
    assert manifest.engine["built_on"]["onnxruntime"] == GPU_VERSION


def test_the_gpu_is_told_where_there_is_one(monkeypatch):
    assert "gpu" not in environment.describe_environment().facts
    state = DriverState((Gpu(0, "NVIDIA Example 4000", "8.9"),), "13.2")
    monkeypatch.setattr(environment, "probe_driver", lambda: state)
    told = environment.describe_environment().facts["gpu"]
    assert told == "NVIDIA Example 4000, compute capability 8.9, driver for CUDA 13.2"
    assert told in CliRunner().invoke(main, ["doctor"]).stdout
