"""Tests of this folder need an NVIDIA GPU, and say so where there is none: everywhere else one is imitated."""

import pytest

from alta_runtimes.driver import probe_driver
from alta_runtimes.onnxruntime_cuda import find_cuda


def pytest_collection_modifyitems(items):
    """Skip all of this folder where the driver has no GPU."""
    state = probe_driver()
    for item in items:
        if "gpu" in item.path.parent.parts[-1:] and not state.is_usable:
            item.add_marker(pytest.mark.skip(reason=f"no NVIDIA GPU: {state.reason}"))


@pytest.fixture
def onnxruntime_on_gpu():
    """Skip where onnxruntime has no GPU package."""
    missing = find_cuda()
    if missing:
        pytest.skip(f"no NVIDIA GPU for onnxruntime: {missing}")
