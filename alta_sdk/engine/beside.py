"""A graph of a bundle beside its two main ones: proven when the engine opens, loaded when it is first asked for.

It runs in the image graph's back end, if that is one for ONNX graphs, with as many threads.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from alta_runtimes import Session, SessionInfo, load
from alta_runtimes.openvino_session import CompiledGraph

from ..errors import EngineError
from .bundle import Bundle
from .closing import ClosableSession
from .manifest import BundleGraph

ONNX_RUNTIMES = ("onnxruntime", "openvino")
ReadCompiled = Callable[[str], CompiledGraph | None]
CPU, DEVICES = "cpu", ("cpu", "cuda")


class GraphBeside:
    """A graph that is loaded in its first run; safe to share between threads."""

    def __init__(
        self,
        bundle: Bundle,
        graph: BundleGraph,
        beside: Session,
        *,
        cpu: bool,
        compute: str = "f32",
        check: Callable[[Session], None] = lambda _: None,
        read_compiled: ReadCompiled | None = None,
    ) -> None:
        """Take a graph of a verified bundle, and the loaded one whose back end it takes; cpu: but not its device.

        compute: as in `load`. check: raises EngineError for a loaded graph whose numbers are wrong here.
        read_compiled: returns a graph as it was compiled for this machine, by its file, if such a form is used.
        """
        self._bundle = bundle
        self._graph = graph
        self._beside = beside
        self._cpu = cpu
        self._compute = compute
        self._check = check
        self._read_compiled = read_compiled
        self._session: ClosableSession | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    @property
    def info(self) -> SessionInfo:
        """What runs the graph that it lies beside."""
        return self._beside.info

    def run(self, given: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph once on those of the arrays that it reads; raise EngineError if it was closed."""
        return self._open().run(self._graph.select_inputs(given))

    def close(self) -> None:
        """Let go of the graph; it is loaded no more if it was not."""
        with self._lock:
            self._is_closed = True
            if self._session is not None:
                self._session.close()

    def _open(self) -> Session:
        with self._lock:
            if self._session is None:
                if self._is_closed:
                    raise EngineError("engine is closed: open it again")
                loaded = ClosableSession(self._load())
                self._check(loaded)
                self._session = loaded
            return self._session

    def _load(self) -> Session:
        info, name = self._beside.info, self._graph.file
        is_onnx = info.runtime in ONNX_RUNTIMES
        runtime = info.runtime if is_onnx else ONNX_RUNTIMES[0]
        device = info.device if is_onnx and info.device in DEVICES and not self._cpu else CPU
        with self._bundle.copy(name) as graph:  # proven again unless it was held: it may have changed since
            # A GPU session may count no threads.
            threads = info.threads or None
            return load(
                graph,
                name=name,
                device=device,
                threads=threads,
                runtime=runtime,
                compute=self._compute,
                compiled=self._read_compiled(name) if self._read_compiled else None,
            )
