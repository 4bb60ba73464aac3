"""onnxruntime on the CPU: the default back end, installed with the SDK. On a GPU: see `onnxruntime_cuda`.

Its threads spin for a while when a run is over, to take up the next one at once. Where others use the processors, too,
they take these from them and from themselves: `ALTA_SHARED_HOST=1` lets them sleep.
"""

import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .errors import EngineError, RuntimeUnavailable
from .onnxruntime_cuda import PACKAGE as CUDA_PACKAGE
from .onnxruntime_cuda import CudaSession, find_cuda, forget_graph, open_cuda_session
from .session import CANNOT_RUN, RuntimeInfo, SessionInfo, Tensor, check_inputs

NAME = "onnxruntime"
REQUIRES = ("onnxruntime", CUDA_PACKAGE)  # one of the two
DEVICES = ("cpu", "cuda")
COMPUTE = ("f32",)
SHARED_HOST = "ALTA_SHARED_HOST"
NO_SPINNING = ("session.intra_op.allow_spinning", "0")  # of onnxruntime_session_options_config_keys.h


def is_available() -> RuntimeInfo:
    """Say which onnxruntime is installed, without importing it."""
    missing = find_cuda()
    for package in REQUIRES:
        try:
            return RuntimeInfo(NAME, version(package), DEVICES[:1] if missing else DEVICES, cuda_reason=missing)
        except PackageNotFoundError:
            continue
    return RuntimeInfo(NAME, None, (), "not installed: pip install onnxruntime")


def open_session(
    graph: str | bytes, *, name: str, device: str, threads: int, compute: str, streams: int = 1
) -> "OnnxruntimeSession | CudaSession":
    """Load an ONNX graph that `graph_check` has looked at, from bytes or the path of a `PrivateCopy`, for one device.

    `name`: of the graph in messages. `threads`: threads inside one run. `compute`: "f32"; integer products come
    from the graph. `streams`: runs at once, in their callers' threads, which no setting is needed for.
    Raises RuntimeUnavailable for a device that does not work here or an ALTA_SHARED_HOST that is neither 1 nor 0,
    EngineError for a graph that onnxruntime does not accept.
    """
    if device not in DEVICES:
        raise RuntimeUnavailable(f'onnxruntime runs on device "cpu" or "cuda", not on "{device}"')
    if device == "cuda":
        return open_cuda_session(graph, name, threads)
    return OnnxruntimeSession(graph, name, threads)


def is_shared_host() -> bool:
    """Tell whether ALTA_SHARED_HOST says that others use the processors, too; raise RuntimeUnavailable if unclear."""
    told = os.environ.get(SHARED_HOST, "")
    if told not in ("", "0", "1"):
        raise RuntimeUnavailable(f"{SHARED_HOST} must be 1 or 0: set it, or leave it out")
    return told == "1"


class OnnxruntimeSession:
    """One graph in onnxruntime's CPU provider."""

    def __init__(self, graph: str | bytes, name: str, threads: int) -> None:
        """Load a graph; see `open_session`."""
        import onnxruntime as ort

        ort.disable_telemetry_events()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # fatal ones only: the others print what a graph holds to stderr
        if is_shared_host():
            options.add_session_config_entry(*NO_SPINNING)
        try:
            self._session: Any = ort.InferenceSession(
                graph,
                sess_options=options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # onnxruntime's exceptions share no class but Exception
            raise EngineError(f"{name}: onnxruntime cannot load this graph; export the bundle again") from error
        forget_graph(self._session)
        self._inputs = tuple(node.name for node in self._session.get_inputs())
        self._outputs = tuple(node.name for node in self._session.get_outputs())
        provider = self._session.get_providers()[0]
        self._info = SessionInfo(NAME, ort.__version__, provider.removesuffix("ExecutionProvider").lower(), threads)

    @property
    def info(self) -> SessionInfo:
        """Back end, version, device and threads in use."""
        return self._info

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the graph once: arrays by input name in, arrays by output name out; raises EngineError."""
        arrays = check_inputs(inputs, self._inputs)
        try:
            outputs = self._session.run(self._outputs, arrays)
        except Exception as error:  # onnxruntime's exceptions share no class but Exception
            raise EngineError(CANNOT_RUN.format(NAME)) from error
        return dict(zip(self._outputs, outputs, strict=True))
