"""onnxruntime on an NVIDIA GPU: the same ONNX files, with the package onnxruntime-gpu in onnxruntime's place.

onnxruntime falls back to the CPU without an error when a library of CUDA is missing, and computes FP32 products
in TF32 unless told otherwise: so the provider is read back, and TF32 is off.
"""

import contextlib
import io
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .driver import probe_driver
from .errors import EngineError, RuntimeUnavailable
from .session import SessionInfo, Tensor, check_inputs

PACKAGE = "onnxruntime-gpu"
PROVIDER = "CUDAExecutionProvider"
SETTINGS = {"use_tf32": "0"}  # the first GPU by default: to name it makes onnxruntime 1.26 and later print a warning
INSTALL = f"pip uninstall onnxruntime; pip install '{PACKAGE}[cuda,cudnn]'"
DEVICE = "cuda"


def find_cuda() -> str:
    """Say what is missing for the GPU, without importing onnxruntime; nothing if onnxruntime can use it."""
    try:
        version(PACKAGE)
    except PackageNotFoundError:
        return f"{PACKAGE} is not installed: {INSTALL}"
    return probe_driver().reason


def open_cuda_session(graph: str | bytes, name: str, threads: int) -> "CudaSession":
    """Load an ONNX graph that `graph_check` has looked at, from bytes or the path of a `PrivateCopy`, on the first GPU.

    name: of the graph in messages.
    Raises RuntimeUnavailable where onnxruntime-gpu, the driver or a library of CUDA is missing, EngineError
    for a graph that onnxruntime does not accept.
    """
    missing = find_cuda()
    if missing:
        raise RuntimeUnavailable(f'onnxruntime does not run on device "cuda" here: {missing}')
    return CudaSession(graph, name, threads)


def forget_graph(session: Any) -> None:
    """Let go of the bytes that a session was made of: onnxruntime's Python side keeps them as long as it lives.

    It would want them to make the session again for other providers, which nothing here asks for.
    """
    if hasattr(session, "_model_bytes"):
        session._model_bytes = None


class CudaSession:
    """One graph in onnxruntime's CUDA provider; each run binds its own buffers on the GPU."""

    def __init__(self, graph: str | bytes, name: str, threads: int) -> None:
        """Load a graph; see `open_cuda_session`."""
        import onnxruntime as ort

        ort.disable_telemetry_events()
        if PROVIDER not in ort.get_available_providers():
            raise RuntimeUnavailable(f"onnxruntime's CPU package hides {PACKAGE}: {INSTALL}")
        with contextlib.redirect_stdout(io.StringIO()):  # it prints which libraries it does not find
            ort.preload_dlls()  # CUDA's, where pip has put them
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # fatal ones only: the others print what a graph holds to stderr
        try:
            self._session: Any = ort.InferenceSession(
                graph,
                sess_options=options,
                providers=[(PROVIDER, SETTINGS)],
            )
        except Exception as error:  # onnxruntime's exceptions share no class but Exception
            raise EngineError(f"{name}: onnxruntime cannot load this graph on the GPU; export it again") from error
        forget_graph(self._session)
        got = self._session.get_providers()[0]
        if got != PROVIDER:
            raise RuntimeUnavailable(
                f"onnxruntime gave {got} in place of the GPU: a library of CUDA or cuDNN is missing: {INSTALL}"
            )
        self._make_value = ort.OrtValue.ortvalue_from_numpy
        self._inputs = tuple(node.name for node in self._session.get_inputs())
        self._outputs = tuple(node.name for node in self._session.get_outputs())
        self._info = SessionInfo("onnxruntime", ort.__version__, DEVICE, threads)

    @property
    def info(self) -> SessionInfo:
        """Back end, version, device and threads in use."""
        return self._info

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the graph once: arrays by input name in, arrays by output name out; raises EngineError."""
        arrays = check_inputs(inputs, self._inputs)
        binding = self._session.io_binding()
        try:
            for name, array in arrays.items():
                binding.bind_ortvalue_input(name, self._make_value(array, DEVICE, 0))
            for name in self._outputs:
                binding.bind_output(name, DEVICE, 0)
            self._session.run_with_iobinding(binding)
            outputs = binding.copy_outputs_to_cpu()
        except Exception as error:  # a GPU without memory, or one that was reset
            raise EngineError("onnxruntime could not run on the GPU: run fewer at once, or restart") from error
        return dict(zip(self._outputs, outputs, strict=True))
