"""OpenVINO on the CPU: an optional back end that runs the same files, faster than onnxruntime on most CPUs.

OpenVINO computes in BF16 by itself where the CPU has it, so that one bundle would embed differently on
two machines: its precision hint is therefore always set.
"""

import io
import mmap
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .errors import EngineError, RuntimeUnavailable
from .freed_memory import give_back_freed
from .private_copy import PrivateCopy
from .session import CANNOT_RUN, RuntimeInfo, SessionInfo, Tensor, check_inputs

NAME = "openvino"
REQUIRES = ("openvino",)
DEVICES = ("cpu",)
COMPUTE = ("f32", "bf16")
_lock = threading.Lock()


@dataclass(frozen=True)
class CompiledGraph:
    """A compiled graph as OpenVINO stores it, and the names of what goes in and comes out, in order."""

    data: PrivateCopy = field(repr=False)
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def is_available() -> RuntimeInfo:
    """Say which OpenVINO is installed, without importing it."""
    try:
        return RuntimeInfo(NAME, version(REQUIRES[0]), DEVICES, cuda_reason="runs on the CPU alone")
    except PackageNotFoundError:
        return RuntimeInfo(NAME, None, (), "not installed: pip install 'alta-sdk[openvino]'")


def open_session(
    graph: str | bytes,
    *,
    name: str,
    device: str,
    threads: int,
    compute: str,
    compiled: CompiledGraph | None = None,
    streams: int = 1,
) -> "OpenvinoSession":
    """Load an ONNX graph that `graph_check` has looked at, from bytes or the path of a `PrivateCopy`, for one device.

    `name`: of the graph in messages. `threads`: threads inside one run. `compute`: "f32" or "bf16", the type of
    floating-point products. `compiled`: what `compile_graph` made of the graph on this machine, loaded in its place.
    `streams`: runs at once, each on so many threads of its own.
    Raises RuntimeUnavailable for a device other than the CPU or a type that this CPU does not compute,
    EngineError for a graph that OpenVINO does not accept.
    """
    if device not in DEVICES:
        raise RuntimeUnavailable(f'openvino runs on device "cpu" in this version, not on "{device}"')
    return OpenvinoSession(graph, name, threads, compute, compiled, streams)


def compile_graph(graph: str | bytes, *, name: str, threads: int, compute: str) -> CompiledGraph:
    """Compile a graph for this processor, by this version of OpenVINO; raises what `open_session` raises."""
    session = OpenvinoSession(graph, name, threads, compute)
    data = PrivateCopy()
    data.write(session.export())
    return CompiledGraph(data, *session.names)


def _share_core() -> Any:
    """Return the OpenVINO of this process: one, which stays.

    Its CPU plug-in gives the thread that loads it a stack for signals, and takes that away from under it if another
    thread unloads the plug-in: the next signal would end the process.
    """
    with _lock:
        return _make_core()


@cache
def _make_core() -> Any:
    import openvino

    return openvino.Core()


def _read_graph(graph: str | bytes) -> Any:
    """Read an ONNX graph by the front end for ONNX: OpenVINO would let others try a file whose name says nothing."""
    from openvino.frontend import FrontEndManager

    front_end = FrontEndManager().load_by_framework("onnx")
    return front_end.convert(front_end.load(graph if isinstance(graph, str) else io.BytesIO(graph)))


def _as_tensor(mapped: mmap.mmap | None) -> Any:
    """Return the bytes of a map as OpenVINO takes them without a copy of its own; None for none."""
    if mapped is None:
        return None
    import openvino

    return openvino.Tensor(np.frombuffer(mapped, np.uint8), shared_memory=True)


class OpenvinoSession:
    """One graph compiled by OpenVINO's CPU plug-in; each run borrows an inference request."""

    def __init__(
        self,
        graph: str | bytes,
        name: str,
        threads: int,
        compute: str,
        compiled: CompiledGraph | None = None,
        streams: int = 1,
    ) -> None:
        """Compile a graph, or load it compiled; see `open_session`."""
        core = _share_core()
        if compute == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise RuntimeUnavailable("openvino: this CPU has no BF16 arithmetic; export FP32 or INT8 for it")
        settings = {
            "INFERENCE_PRECISION_HINT": compute,
            "INFERENCE_NUM_THREADS": threads * streams,
            "NUM_STREAMS": streams,
            "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        }
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._model: Any = None
        # OpenVINO reads on from there, so it is let go of last: in the order of these lines.
        self._read_from: mmap.mmap | None = None
        try:
            if compiled is not None:
                self._inputs, self._outputs = compiled.inputs, compiled.outputs
                self._read_from = compiled.data.map()
                self._model = core.import_model(_as_tensor(self._read_from) or compiled.data.source, "CPU", settings)
            else:
                read = _read_graph(graph)
                give_back_freed()  # what the file was parsed into
                # Named before it is compiled: rounding that changes nothing goes then, and leaves its name to its
                # tensor.
                self._inputs = tuple(node.get_any_name() for node in read.inputs)
                self._outputs = tuple(node.get_any_name() for node in read.outputs)
                self._model = core.compile_model(read, "CPU", settings)
        except Exception as error:  # OpenVINO raises RuntimeError and kinds of its own
            raise EngineError(f"{name}: openvino cannot load this graph; export the bundle again") from error
        got = self._model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if got != compute:
            raise RuntimeUnavailable(f"openvino would compute in {got}, not in {compute} as the engine asks")
        used = int(self._model.get_property("INFERENCE_NUM_THREADS"))
        self._info = SessionInfo(NAME, version(REQUIRES[0]), "cpu", used)

    @property
    def info(self) -> SessionInfo:
        """Back end, version, device and threads in use."""
        return self._info

    @property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the inputs and the outputs, in order."""
        return self._inputs, self._outputs

    def export(self) -> bytes:
        """Return the compiled graph, weights included, for this processor and this version of OpenVINO."""
        stored = self._model.export_model()
        return bytes(stored if isinstance(stored, bytes | bytearray) else stored.getvalue())

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the graph once: arrays by input name in, arrays by output name out; raises EngineError."""
        arrays = check_inputs(inputs, self._inputs)
        try:
            request = self._idle.get_nowait()
        except queue.Empty:  # as many requests as threads have called at once
            request = self._model.create_infer_request()
        try:
            # By place: a compiled graph that was stored need not have kept the names.
            request.infer([arrays[name] for name in self._inputs])
            return {name: request.get_output_tensor(i).data.copy() for i, name in enumerate(self._outputs)}
        except Exception as error:  # OpenVINO raises RuntimeError and kinds of its own
            raise EngineError(CANNOT_RUN.format(NAME)) from error
        finally:
            self._idle.put(request)
