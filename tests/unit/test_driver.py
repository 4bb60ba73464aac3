"""The driver's probe: every state of a machine is an answer, never an exception or a crash."""

import ctypes
import sys

import pytest

from alta_runtimes import driver
from alta_runtimes.driver import Driver, DriverError, probe_driver


class FakeLibrary:
    """The driver's functions with C's conventions: results through pointers, 0 for success."""

    def __init__(self, names=("NVIDIA Example 4000",), init_code=0):
        self.names, self.init_code = names, init_code

    def cuInit(self, flags):
        return self.init_code

    def cuDriverGetVersion(self, out):
        return self._write(out, 13020)

    def cuDeviceGetCount(self, out):
        return self._write(out, len(self.names))

    def cuDeviceGet(self, out, index):
        return self._write(out, 100 + index.value)

    def cuDeviceGetName(self, buffer, length, device):
        buffer.value = self.names[device.value - 100].encode()[: length.value - 1]
        return 0

    def cuDeviceGetAttribute(self, out, attribute, device):
        return self._write(out, {75: 8, 76: 9}[attribute.value])

    @staticmethod
    def _write(out, value):
        out._obj.value = value
        return 0


@pytest.fixture
def machine(monkeypatch):
    def make(library):
        monkeypatch.setattr(driver, "_open_library", lambda name: library)

    return make


def test_gpus_are_named_with_their_compute_capability(machine):
    machine(FakeLibrary(("NVIDIA A", "NVIDIA B")))
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
    machine(FakeLibrary(init_code=100))
    assert probe_driver().reason == "the NVIDIA driver's cuInit failed with CUDA error 100"


def test_a_driver_without_a_gpu_gets_a_reason(machine):
    machine(FakeLibrary(()))
    assert probe_driver().reason == "the NVIDIA driver sees no GPU"


def test_a_function_that_an_old_driver_lacks_is_named():
    opened = Driver(lambda name: FakeLibrary())
    with pytest.raises(DriverError, match="has no cuFromTomorrow: update it"):
        opened.call("cuFromTomorrow", ctypes.c_int(1))


def test_the_real_probe_answers_on_this_machine():
    state = probe_driver()
    assert state.is_usable == (not state.reason)
    assert state.is_usable or "NVIDIA" in state.reason


def test_windows_and_linux_have_their_library():
    assert driver.LIBRARY == ("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
