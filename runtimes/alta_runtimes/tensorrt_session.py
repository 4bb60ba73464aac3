"""TensorRT on an NVIDIA GPU: an optional back end that runs plans, the engines that TensorRT builds.

A plan runs on the GPU and the TensorRT version it was built with. Reading another one can crash the process,
and so can reading one without a driver: so the driver is asked and the plan's origin compared first.
"""

import queue
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import tensorrt_library
from .device_memory import Device, Stream
from .driver import Driver, DriverError, Gpu, probe_driver
from .errors import EngineError, RuntimeUnavailable
from .session import RuntimeInfo, SessionInfo, Tensor, check_inputs
from .tensorrt_library import FULL, LEAN, last_error, make_logger

NAME = "tensorrt"
REQUIRES = ("tensorrt-lean-cu13",)
DEVICES = ("cuda",)
COMPUTE = ("plan",)  # a plan's types were fixed when it was built
REBUILD = "build it for this machine: alta-export build NAME.alta --rebuild"


@dataclass(frozen=True)
class PlanOrigin:
    """What a plan was built on and with. cuda: the newest CUDA that the driver there served."""

    gpu: str
    compute_capability: str
    tensorrt: str
    cuda: str

    def describe(self) -> dict[str, str]:
        """Return it for a manifest."""
        return asdict(self)


def is_available() -> RuntimeInfo:
    """Say which TensorRT runtime is installed and whether a GPU is here, without importing TensorRT."""
    found = find_runtime()
    if found is None:
        return RuntimeInfo(NAME, None, (), "not installed: pip install 'alta-sdk[trt]'")
    state = probe_driver()
    return RuntimeInfo(NAME, found[1], DEVICES if state.is_usable else (), state.reason)


def find_runtime() -> tuple[str, str] | None:
    """Return the package that runs plans and its version: the lean one, else the full one, else None."""
    for name in (LEAN, FULL):
        found = tensorrt_library.find_version(name)
        if found is not None:
            return name, found
    return None


def open_session(
    graph: bytes, *, name: str, device: str, threads: int, compute: str, built_on: Mapping[str, str] | None = None
) -> "TensorrtSession":
    """Load a plan from memory.

    `name`: of the plan in messages. `built_on`: the plan's origin as the manifest tells it. `threads` is not used:
    the GPU computes.
    Raises RuntimeUnavailable without a driver, and for a plan of another GPU or TensorRT version;
    EngineError for one that TensorRT does not accept.
    """
    if device not in DEVICES:
        raise RuntimeUnavailable(f'tensorrt runs on device "cuda", not on "{device}"')
    found = find_runtime()
    if found is None:
        raise RuntimeUnavailable("tensorrt is not installed: pip install 'alta-sdk[trt]'")
    if built_on is None:
        raise RuntimeUnavailable("a TensorRT plan is only loaded from a bundle, which tells what it was built on")
    try:
        driver = Driver()
        gpus = driver.describe().gpus
        if not gpus:
            raise DriverError("the NVIDIA driver sees no GPU")
        check_origin(PlanOrigin(**built_on), gpus[0], found[1])
        return TensorrtSession(graph, name, tensorrt_library.open_library(found[0]), Device(driver), found[1])
    except DriverError as error:
        raise RuntimeUnavailable(f"tensorrt does not work here: {error}") from error
    except ImportError as error:
        raise RuntimeUnavailable("tensorrt cannot be imported: pip install -U 'alta-sdk[trt]'") from error


def check_origin(origin: PlanOrigin, gpu: Gpu, tensorrt: str) -> None:
    """Raise RuntimeUnavailable unless a plan was built on this kind of GPU and with this TensorRT."""
    if (origin.gpu, origin.compute_capability) != (gpu.name, gpu.compute_capability):
        raise RuntimeUnavailable(
            f"this engine was built on {origin.gpu} (compute capability {origin.compute_capability}); here is "
            f"{gpu.name} ({gpu.compute_capability}): {REBUILD}"
        )
    if origin.tensorrt != tensorrt:
        raise RuntimeUnavailable(
            f"this engine was built with TensorRT {origin.tensorrt}; here is {tensorrt}: "
            f"pip install {REQUIRES[0]}=={origin.tensorrt}, or {REBUILD}"
        )


class TensorrtSession:
    """One plan on one GPU; each run borrows a lane: an execution context with a stream and buffers."""

    def __init__(self, plan: bytes, name: str, library: Any, device: Device, version: str) -> None:
        """Read a plan; see `open_session`."""
        device.make_current()
        self._library, self._device = library, device
        self._logger = make_logger(library)
        self._engine = self._read_plan(plan, name)
        self._inputs = self._list_tensors(library.TensorIOMode.INPUT)
        self._outputs = self._list_tensors(library.TensorIOMode.OUTPUT)
        self._idle: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        self._info = SessionInfo(NAME, version, "cuda", 1)

    @property
    def info(self) -> SessionInfo:
        """Back end, version, device and threads in use."""
        return self._info

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the plan once: arrays by input name in, arrays by output name out.

        Raises EngineError for a shape or type that the plan was not built for, or if the GPU fails.
        """
        arrays = check_inputs(inputs, tuple(self._inputs))
        for name, array in arrays.items():
            if array.dtype != self._inputs[name]:
                raise EngineError(f"{name} must be {self._inputs[name]}, given {array.dtype}")
        try:
            self._device.make_current()
            lane = self._borrow_lane()
            try:
                outputs = lane.run(arrays, self._outputs)
            except EngineError:
                self._idle.put(lane)
                raise
        except DriverError as error:  # the lane is dropped: its stream may be broken
            raise EngineError(f"the GPU stopped: {error}; restart the program") from error
        self._idle.put(lane)
        return outputs

    def _borrow_lane(self) -> "Lane":
        try:
            return self._idle.get_nowait()
        except queue.Empty:  # as many lanes as threads have called at once
            return Lane(self._engine, self._library, Stream(self._device))

    def _read_plan(self, plan: bytes, name: str) -> Any:
        try:
            self._runtime = self._library.Runtime(self._logger)  # the engine needs it as long as it lives
            engine = self._runtime.deserialize_cuda_engine(plan)
        except Exception as error:  # pybind11 raises TypeError and RuntimeError
            raise EngineError(f"{name}: tensorrt does not start{last_error(self._logger)}; {REBUILD}") from error
        if engine is None:
            raise EngineError(f"{name}: tensorrt cannot read this plan{last_error(self._logger)}; {REBUILD}")
        return engine

    def _list_tensors(self, mode: Any) -> dict[str, np.dtype[Any]]:
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        return {
            name: np.dtype(self._library.nptype(self._engine.get_tensor_dtype(name)))
            for name in names
            if self._engine.get_tensor_mode(name) == mode
        }


class Lane:
    """An execution context of a plan, with its stream and buffers; for one run at a time."""

    def __init__(self, engine: Any, library: Any, stream: Stream) -> None:
        """Make an execution context in the current context of the GPU."""
        self._engine, self._stream = engine, stream
        self._context = engine.create_execution_context()
        if self._context is None:
            raise DriverError("not enough memory on the GPU for one more run at a time")
        self._context.nvtx_verbosity = library.ProfilingVerbosity.NONE  # layer names cost time at each run

    def run(self, arrays: dict[str, NDArray[Any]], outputs: Mapping[str, np.dtype[Any]]) -> dict[str, NDArray[Any]]:
        """Copy in, run, copy out, wait."""
        for name, array in arrays.items():
            if not self._context.set_input_shape(name, array.shape):
                low, _, high = (tuple(shape) for shape in self._engine.get_tensor_profile_shape(name, 0))
                raise EngineError(
                    f"{name} has shape {array.shape}; this engine was built for {low} to {high}: run fewer at once, "
                    "or export with a larger --max-batch"
                )
            self._context.set_tensor_address(name, self._stream.send(name, array))
        missing = self._context.infer_shapes()
        if missing:
            raise EngineError(f"tensorrt lacks the shape of {', '.join(missing)}; {REBUILD}")
        shapes = {name: tuple(self._context.get_tensor_shape(name)) for name in outputs}
        for name, dtype in outputs.items():
            size_bytes = int(np.prod(shapes[name])) * dtype.itemsize
            self._context.set_tensor_address(name, self._stream.reserve(name, size_bytes))
        if not self._context.execute_async_v3(self._stream.handle):
            raise DriverError("tensorrt could not start the run")
        received = {name: self._stream.receive(name, shapes[name], dtype) for name, dtype in outputs.items()}
        self._stream.wait()
        return received
