"""The driver's probe: every state of a machine is an answer, never an exception or a crash."""

import ctypes
import sys

import pytest
from fakes.cuda import FakeCuda

from alta_runtimes import driver
from alta_runtimes.driver import Driver, DriverError, probe_driver


@pytest.fixture
def machine(monkeypatch):
    def make(library):
        monkeypatch.setattr(driver, "_open_library", lambda name: library)

    return make


def test_gpus_are_named_with_their_compute_capability(machine):
    machine(FakeCuda(("NVIDIA A", "NVIDIA B")))
    state = probe_driver()
    assert [(gpu.index, gpu.name, gpu.compute_capability) for gpu in state.gpus] == [
        (0, "NVIDIA A", "8.9"),
        (1, "NVIDIA B", "8.9"),
    ]
    assert (state.cuda, state.reason, state.is_usable) == ("13.2", "", True)


def test_a_machine_without_a_driver_gets_a_reason(monkeypatch):
    def refuse(name):
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(driver, "_open_library", refuse)
    state = probe_driver()
    assert not state.is_usable
    assert state.reason == f"no NVIDIA driver ({driver.LIBRARY} is not installed)"


def test_a_driver_that_does_not_start_gets_its_error(machine):
    machine(FakeCuda(cuInit=100))
    assert probe_driver().reason == "the NVIDIA driver's cuInit failed with CUDA error 100"


def test_a_driver_without_a_gpu_gets_a_reason(machine):
    machine(FakeCuda(()))
    assert probe_driver().reason == "the NVIDIA driver sees no GPU"


def test_a_function_that_an_old_driver_lacks_is_named():
    opened = Driver(lambda name: FakeCuda())
    with pytest.raises(DriverError, match="has no cuFromTomorrow: update it"):
        opened.call("cuFromTomorrow", ctypes.c_int(1))


def test_the_real_probe_answers_on_this_machine():
    state = probe_driver()
    assert state.is_usable == (not state.reason)
    assert state.is_usable or "NVIDIA" in state.reason


def test_windows_and_linux_have_their_library():
    assert driver.LIBRARY == ("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
