"""Which back ends exist, which work here, and loading a graph with one of them."""

import os
from pathlib import Path

from . import onnxruntime_session
from .errors import RuntimeUnavailable
from .session import RuntimeInfo, Session

BACKENDS = {onnxruntime_session.NAME: onnxruntime_session}
PLANNED = ("openvino", "tensorrt")
DEVICES = ("auto", "cpu")


def available() -> list[RuntimeInfo]:
    """List every back end that alta-sdk knows, those that cannot run here with the reason."""
    planned = [RuntimeInfo(name, None, (), "not supported by this version of alta-sdk") for name in PLANNED]
    return [backend.is_available() for backend in BACKENDS.values()] + planned


def default_threads() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: containers and taskset narrow the set
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load(
    graph: str | os.PathLike[str] | bytes,
    *,
    device: str = "auto",
    threads: int | None = None,
    runtime: str | None = None,
) -> Session:
    """Load one graph, from its file or from its bytes.

    `device`: "auto" or "cpu". `threads`: inside one run; None takes every processor of this process.
    `runtime`: a back end's name; None takes onnxruntime.
    Raises RuntimeUnavailable for a back end or device that does not work here, EngineError for a
    graph that the back end does not accept.
    """
    if device not in DEVICES:
        raise RuntimeUnavailable(f"device is not supported; this version runs on: {', '.join(DEVICES)}")
    if threads is not None and threads < 1:
        raise RuntimeUnavailable("threads must be at least 1")
    name = runtime or onnxruntime_session.NAME
    if name not in BACKENDS:
        raise RuntimeUnavailable(f"runtime is not supported; this version has: {', '.join(BACKENDS)}")
    backend = BACKENDS[name]
    info = backend.is_available()
    if not info.is_available:
        raise RuntimeUnavailable(f"runtime {name} does not work here: {info.reason}")
    session: Session = backend.open_session(
        graph if isinstance(graph, bytes) else Path(graph), device="cpu", threads=threads or default_threads()
    )
    return session
