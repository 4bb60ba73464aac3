"""Which back ends exist, which work here, and loading a graph with one of them."""

import os
from pathlib import Path

from . import onnxruntime_session, openvino_session
from .errors import RuntimeUnavailable
from .session import RuntimeInfo, Session

BACKENDS = {backend.NAME: backend for backend in (openvino_session, onnxruntime_session)}  # the fastest first
PLANNED = ("tensorrt",)
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


def choose_runtime(compute: str = "f32") -> tuple[str, str]:
    """Return the back end that runs a graph fastest here, and why it is that one.

    `compute`: "f32" or "bf16", what the graph's floating-point products need.
    Raises RuntimeUnavailable if none works here.
    """
    infos = {info.name: info for info in (BACKENDS[name].is_available() for name in BACKENDS)}
    able = [name for name in BACKENDS if compute in BACKENDS[name].COMPUTE]
    for name in able:
        if infos[name].is_available:
            passed_over = [f"{other} {infos[other].reason}" for other in able[: able.index(name)]]
            return name, "; ".join(["fastest of those that work here", *passed_over])
    reasons = "; ".join(f"{name}: {infos[name].reason}" for name in able)
    raise RuntimeUnavailable(f"no runtime here computes {compute}: {reasons}")


def load(
    graph: str | os.PathLike[str] | bytes,
    *,
    device: str = "auto",
    threads: int | None = None,
    runtime: str | None = None,
    compute: str = "f32",
) -> Session:
    """Load one graph, from its file or from its bytes.

    `device`: "auto" or "cpu". `threads`: inside one run; None takes every processor of this process.
    `runtime`: a back end's name; None takes what `choose_runtime` says. `compute`: "f32" or "bf16".
    Raises RuntimeUnavailable for a back end or device that does not work here, EngineError for a
    graph that the back end does not accept.
    """
    if device not in DEVICES:
        raise RuntimeUnavailable(f"device is not supported; this version runs on: {', '.join(DEVICES)}")
    if threads is not None and threads < 1:
        raise RuntimeUnavailable("threads must be at least 1")
    name = runtime or choose_runtime(compute)[0]
    if name not in BACKENDS:
        raise RuntimeUnavailable(f"runtime is not supported; this version has: {', '.join(BACKENDS)}")
    backend = BACKENDS[name]
    info = backend.is_available()
    if not info.is_available:
        raise RuntimeUnavailable(f"runtime {name} does not work here: {info.reason}")
    if compute not in backend.COMPUTE:
        raise RuntimeUnavailable(f"runtime {name} does not compute {compute}; it has: {', '.join(backend.COMPUTE)}")
    source = graph if isinstance(graph, bytes) else Path(graph)
    session: Session = backend.open_session(source, device="cpu", threads=threads or default_threads(), compute=compute)
    return session
