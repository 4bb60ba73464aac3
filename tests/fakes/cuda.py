"""An NVIDIA driver for machines without one: its functions with C's conventions, and memory that is in this process.

Results go out through pointers and 0 means success. Numbers have to come as ctypes objects of the width that
the real functions read: a plain int would be cut to 32 bits there.
"""

import ctypes
from collections import Counter

DEVICE = 100  # a device's handle is not its index
CONTEXT = 0x5000
STREAM = 0x7000_0000_0000


class FakeCuda:
    """One machine's driver. `names`: its GPUs. `fail`: the functions that do not succeed, with their result."""

    def __init__(self, names=("NVIDIA Example 4000",), capability=(8, 9), **fail):
        self.names, self.capability, self.fail = names, capability, fail
        self.memory: dict[int, ctypes.Array] = {}
        self.calls: Counter[str] = Counter()
        self._next = 0x7F00_0000_0000  # wider than 32 bits, as real addresses are

    def __getattr__(self, name):
        try:
            function = getattr(type(self), f"_{name}")
        except AttributeError:
            raise AttributeError(name) from None

        def call(*arguments):
            for argument in arguments:
                assert not isinstance(argument, int), f"{name}: a plain int would be cut to 32 bits"
            self.calls[name] += 1
            return self.fail.get(name) or function(self, *arguments) or 0

        return call

    def read(self, address, size):
        return self._find(address)[:size]

    def write(self, address, data):
        self._find(address)[: len(data)] = data

    def _find(self, address):
        return memoryview(self.memory[address]).cast("B")

    def _cuInit(self, flags):
        pass

    def _cuDriverGetVersion(self, out):
        out._obj.value = 13020

    def _cuDeviceGetCount(self, out):
        out._obj.value = len(self.names)

    def _cuDeviceGet(self, out, index):
        out._obj.value = DEVICE + index.value

    def _cuDeviceGetName(self, buffer, length, device):
        buffer.value = self.names[device.value - DEVICE].encode()[: length.value - 1]

    def _cuDeviceGetAttribute(self, out, attribute, device):
        out._obj.value = dict(zip((75, 76), self.capability, strict=True))[attribute.value]

    def _cuDevicePrimaryCtxRetain(self, out, device):
        assert device.value == DEVICE
        out._obj.value = CONTEXT

    def _cuCtxSetCurrent(self, context):
        assert context.value == CONTEXT

    def _cuStreamCreate(self, out, flags):
        out._obj.value = STREAM + self.calls["cuStreamCreate"]

    def _cuStreamDestroy_v2(self, stream):
        assert stream.value > STREAM

    def _cuStreamSynchronize(self, stream):
        assert stream.value > STREAM

    def _cuMemAlloc_v2(self, out, size):
        assert isinstance(size, ctypes.c_size_t)
        out._obj.value = self._next
        self.memory[self._next] = (ctypes.c_char * size.value)()
        self._next += max(256, size.value)

    def _cuMemFree_v2(self, address):
        del self.memory[address.value]

    def _cuMemcpyHtoDAsync_v2(self, to, source, size, stream):
        assert isinstance(to, ctypes.c_uint64) and isinstance(source, ctypes.c_void_p) and stream.value > STREAM
        self.write(to.value, ctypes.string_at(source.value, size.value))

    def _cuMemcpyDtoHAsync_v2(self, to, source, size, stream):
        assert isinstance(source, ctypes.c_uint64) and isinstance(to, ctypes.c_void_p) and stream.value > STREAM
        ctypes.memmove(to.value, bytes(self.read(source.value, size.value)), size.value)
