"""Which back ends exist, which work here, and loading a graph with one of them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import onnxruntime_session, openvino_session, tensorrt_session
from .errors import EngineError, RuntimeUnavailable
from .freed_memory import give_back_freed
from .graph_check import Lengths, check_graph
from .opening import open_file
from .openvino_session import CompiledGraph
from .private_copy import PrivateCopy
from .session import RuntimeInfo, Session
from .sized_session import SizedSession

# On most CPUs the fastest first: an engine that was tuned on its CPU knows better. Plans have but one.
ORDER = (openvino_session, onnxruntime_session, tensorrt_session)
BACKENDS = {backend.NAME: backend for backend in ORDER}
DEVICES = ("auto", "cpu", "cuda")
PLAN = "plan"  # what a TensorRT plan computes: no graph, and nothing to look into
USUAL = "usually the fastest of those that work here"
MEASURED = "fastest as measured at export on this processor"


def available() -> list[RuntimeInfo]:
    """List every back end that alta-sdk knows, those that cannot run here with the reason."""
    return [backend.is_available() for backend in BACKENDS.values()]


def default_threads() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: containers and taskset narrow the set
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_runtime(compute: str = "f32", device: str = "auto", measured: Sequence[str] = ()) -> tuple[str, str]:
    """Return the back end that runs a graph here, the usually fastest one, and why it is that one.

    `compute`: "f32" or "bf16", what the graph's floating-point products need; "plan" for a TensorRT plan.
    `device`: "auto", "cpu" or "cuda"; "auto" takes the GPU where a back end here can use it.
    `measured`: back ends that were measured with this graph on this CPU, the fastest first: they go before the others.
    Raises RuntimeUnavailable if none works here.
    """
    infos = {name: backend.is_available() for name, backend in BACKENDS.items()}
    able = [name for name in BACKENDS if compute in BACKENDS[name].COMPUTE]
    if device == "auto" and any("cuda" in infos[name].devices for name in able):
        device = "cuda"
    known = [] if device == "cuda" else [name for name in measured if name in able]
    able = [*known, *(name for name in able if name not in known)]
    for name in able:
        if _has(infos[name], device):
            passed_over = [f"{other} {_why_not(infos[other], device)}" for other in able[: able.index(name)]]
            return name, "; ".join([MEASURED if name in known else USUAL, *passed_over])
    reasons = "; ".join(f"{name}: {_why_not(infos[name], device)}" for name in able)
    raise RuntimeUnavailable(f"no runtime here computes {compute}{_on(device)}: {reasons}")


def load(
    graph: str | os.PathLike[str] | bytes | PrivateCopy,
    *,
    device: str = "auto",
    threads: int | None = None,
    runtime: str | None = None,
    compute: str = "f32",
    built_on: Mapping[str, str] | None = None,
    name: str | None = None,
    longest: Lengths | None = None,
    compiled: CompiledGraph | None = None,
    streams: int = 1,
) -> Session:
    """Load one graph, from its file, which is read once, or from its bytes, or a copy of them; nothing else is read.

    `device`: "auto", "cpu" or "cuda"; "auto" takes the GPU where the back end can use it here. `threads`:
    inside one run; None takes every processor of this process. `runtime`: a back end's name; None takes
    what `choose_runtime` says. `compute`: "f32" or "bf16"; "plan" for a TensorRT plan, which needs
    `built_on`, its origin as the manifest tells it. `name`: of the graph in messages; None takes the file's.
    `longest`: rows and tokens of the largest inputs that it will get, to refuse it now if those took too much; inputs
    of any shape are looked at before they run. `compiled`: what OpenVINO's `compile_graph` made of this graph here.
    `streams`: how many runs will be asked for at once, by as many threads, each with `threads` of its own; on a CPU.
    Raises RuntimeUnavailable for a back end or device that does not work here, IntegrityError for a graph that is
    not of the kind that an export writes, EngineError for one that the back end does not accept.
    """
    if device not in DEVICES:
        raise RuntimeUnavailable(f"device is not supported; this version runs on: {', '.join(DEVICES)}")
    if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
        raise RuntimeUnavailable("threads must be at least 1, a whole number")
    chosen = runtime or choose_runtime(compute, device)[0]
    if chosen not in BACKENDS:
        raise RuntimeUnavailable(f"runtime is not supported; this version has: {', '.join(BACKENDS)}")
    backend = BACKENDS[chosen]
    if compute not in backend.COMPUTE:
        raise RuntimeUnavailable(f"runtime {chosen} does not compute {compute}; it has: {', '.join(backend.COMPUTE)}")
    info = backend.is_available()
    if not _has(info, device):
        raise RuntimeUnavailable(f"runtime {chosen} does not work here{_on(device)}: {_why_not(info, device)}")
    unnamed = PLAN if compute == PLAN else "graph"
    sizes = None
    if isinstance(graph, PrivateCopy):
        name, source = name or unnamed, graph.source
        sizes = check_graph(graph.view(), name, longest)
    else:
        source, name = (graph, name or unnamed) if isinstance(graph, bytes) else _read(Path(graph), name)
        if compute != PLAN:
            sizes = check_graph(source, name, longest)
    plan: dict[str, Any] = {} if built_on is None else {"built_on": built_on}
    if compiled is not None:
        plan["compiled"] = compiled
    if streams > 1:
        plan["streams"] = streams
    used = info.devices[-1] if device == "auto" else device  # the GPU stands last
    session: Session = backend.open_session(
        source, name=name, device=used, threads=threads or default_threads(), compute=compute, **plan
    )
    give_back_freed()
    return session if sizes is None else SizedSession(session, sizes)


def _read(path: Path, name: str | None) -> tuple[bytes, str]:
    try:
        with open_file(path) as file:
            return file.read(), name or path.name
    except OSError as error:
        raise EngineError(f"{name or path.name} cannot be read: {error.strerror}") from error


def _has(info: RuntimeInfo, device: str) -> bool:
    return info.is_available if device == "auto" else device in info.devices


def _why_not(info: RuntimeInfo, device: str) -> str:
    if device == "cuda" and info.is_available:
        return info.cuda_reason
    return info.reason or f"does not run on {device}"


def _on(device: str) -> str:
    return "" if device == "auto" else f" on {device}"
