"""A GPU's memory, copies and streams, through the driver that `driver` found.

Nine functions of the driver's own interface, with ctypes: NVIDIA's packages for this (cuda-bindings and
what it needs) weigh more than TensorRT's Python bindings, have to match the driver's major version, and
bring nothing that is used here. The functions have kept their form since CUDA 4.
"""

import ctypes
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .driver import Driver, DriverError

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: not in turn with the process's other work on the GPU


class Device:
    """One GPU, with its primary context, which TensorRT works in, too."""

    def __init__(self, driver: Driver, index: int = 0) -> None:
        """Retain the primary context of a GPU; raise DriverError if it cannot be used."""
        self._driver = driver
        self._context = ctypes.c_void_p()
        device = driver.read_int("cuDeviceGet", ctypes.c_int(index))
        driver.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), ctypes.c_int(device))

    def make_current(self) -> None:
        """Let this thread's calls, TensorRT's included, go to this GPU; every thread needs it."""
        self.call("cuCtxSetCurrent", self._context)

    def call(self, function: str, *arguments: Any) -> None:
        """Run a function of the driver; raise DriverError if it fails."""
        self._driver.call(function, *arguments)

    def release(self, function: str, handle: Any) -> None:
        """Give something back, from whatever thread it is that drops it."""
        try:
            self.make_current()
            self.call(function, handle)
        except DriverError:  # the process ends, or the GPU is gone: the driver has released it
            pass


class Stream:
    """Work in order on one GPU: copies to and from buffers that belong to it."""

    def __init__(self, device: Device) -> None:
        """Open a stream; the device has to be current in this thread."""
        self._device = device
        self._handle = ctypes.c_void_p()
        device.call("cuStreamCreate", ctypes.byref(self._handle), ctypes.c_uint(NON_BLOCKING))
        self._buffers: dict[str, Buffer] = {}
        weakref.finalize(self, device.release, "cuStreamDestroy_v2", self._handle)

    @property
    def handle(self) -> int:
        """The stream's number, as TensorRT takes it."""
        return self._handle.value or 0

    def reserve(self, name: str, size_bytes: int) -> int:
        """Return the address of the buffer of a name, of at least that size; an address lasts until it grows."""
        held = self._buffers.get(name)
        if held is None or held.size_bytes < size_bytes:
            self._buffers.pop(name, None)
            self._buffers[name] = held = Buffer(self._device, max(1, size_bytes))
        return held.address

    def send(self, name: str, array: NDArray[Any]) -> int:
        """Copy a C-contiguous array to the buffer of a name and return the buffer's address.

        The array has to live until `wait`.
        """
        address = self.reserve(name, array.nbytes)
        self._device.call(
            "cuMemcpyHtoDAsync_v2",
            ctypes.c_uint64(address),
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_size_t(array.nbytes),
            self._handle,
        )
        return address

    def receive(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Copy the buffer of a name into a new array, which holds its values only after `wait`."""
        array = np.empty(shape, dtype)
        self._device.call(
            "cuMemcpyDtoHAsync_v2",
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_uint64(self._buffers[name].address),
            ctypes.c_size_t(array.nbytes),
            self._handle,
        )
        return array

    def wait(self) -> None:
        """Wait until all work of this stream is done; raise DriverError if some of it failed."""
        self._device.call("cuStreamSynchronize", self._handle)


class Buffer:
    """Memory on the GPU, freed with this object."""

    def __init__(self, device: Device, size_bytes: int) -> None:
        """Allocate; raise DriverError if there is not enough. The device has to be current in this thread."""
        address = ctypes.c_uint64()
        device.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size_bytes))
        self.address, self.size_bytes = address.value, size_bytes
        weakref.finalize(self, device.release, "cuMemFree_v2", address)
