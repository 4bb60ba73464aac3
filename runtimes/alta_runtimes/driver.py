"""The NVIDIA driver, asked through ctypes: which GPUs are here, without any package of NVIDIA's.

TensorRT's runtime imports on a machine without a driver and then crashes the process when it reads an
engine. So the driver is asked first; it belongs to the GPU, is never installed with pip, and keeps the
functions used here unchanged from version to version.
"""

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
NAME_BYTES = 256
# CUdevice_attribute of cuda.h
COMPUTE_CAPABILITY_MAJOR = 75
COMPUTE_CAPABILITY_MINOR = 76


class DriverError(Exception):
    """The driver is not there, or a call of it failed; the message is half a sentence for a reason."""


@dataclass(frozen=True)
class Gpu:
    """One GPU: its place, its name, and its compute capability such as "8.9"."""

    index: int
    name: str
    compute_capability: str


@dataclass(frozen=True)
class DriverState:
    """What the driver says. `cuda`: the newest CUDA it serves, such as "13.0"; empty if it does not work.

    `reason` says what is missing when there is no GPU to use.
    """

    gpus: tuple[Gpu, ...]
    cuda: str
    reason: str = ""

    @property
    def is_usable(self) -> bool:
        """True if there is a GPU to run on."""
        return bool(self.gpus)


class Driver:
    """The driver's library, loaded and initialised; `call` runs one of its functions and checks the result."""

    def __init__(self, open_library: Callable[[str], Any] | None = None) -> None:
        """Load and initialise the driver; raise DriverError if there is none or it does not start."""
        try:
            self._library = (open_library or _open_library)(LIBRARY)
        except OSError as error:
            raise DriverError(f"no NVIDIA driver ({LIBRARY} is not installed)") from error
        self.call("cuInit", ctypes.c_uint(0))

    def call(self, function: str, *arguments: Any) -> None:
        """Run a function of the driver; raise DriverError with its result if that is not 0."""
        try:
            code = getattr(self._library, function)(*arguments)
        except AttributeError as error:
            raise DriverError(f"the NVIDIA driver has no {function}: update it") from error
        if code != 0:
            raise DriverError(f"the NVIDIA driver's {function} failed with CUDA error {code}")

    def read_int(self, function: str, *arguments: Any) -> int:
        """Run a function that writes one int to its first argument."""
        value = ctypes.c_int()
        self.call(function, ctypes.byref(value), *arguments)
        return value.value

    def describe_gpu(self, index: int) -> Gpu:
        """Return the name and the compute capability of one GPU."""
        device = self.read_int("cuDeviceGet", ctypes.c_int(index))
        name = ctypes.create_string_buffer(NAME_BYTES)
        self.call("cuDeviceGetName", name, ctypes.c_int(NAME_BYTES), ctypes.c_int(device))
        major, minor = (
            self.read_int("cuDeviceGetAttribute", ctypes.c_int(attribute), ctypes.c_int(device))
            for attribute in (COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR)
        )
        return Gpu(index, name.value.decode("utf-8", "replace"), f"{major}.{minor}")

    def describe(self) -> DriverState:
        """Return every GPU that this process may use."""
        version = self.read_int("cuDriverGetVersion")  # 1000 · major + 10 · minor
        count = self.read_int("cuDeviceGetCount")
        gpus = tuple(self.describe_gpu(index) for index in range(count))
        reason = "" if gpus else "the NVIDIA driver sees no GPU"
        return DriverState(gpus, f"{version // 1000}.{version % 1000 // 10}", reason)


def probe_driver() -> DriverState:
    """Look for a usable NVIDIA driver and its GPUs; never raises.

    CUDA cannot be used in a process forked after this call: start such workers with spawn.
    """
    try:
        return Driver().describe()
    except DriverError as error:
        return DriverState((), "", str(error))


def _open_library(name: str) -> Any:
    if sys.platform == "win32":
        return ctypes.WinDLL(name)
    return ctypes.CDLL(name)
