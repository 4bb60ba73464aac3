"""What runs an engine fastest on this machine: each back end that can, with all processors and with half of them.

Half of them, since two that share a core may be slower than one. Forms of the graph are not tried: those that could
differ by back end (docs/precision.md lists them) were measured, and none pays in all of them.
"""

import onnx

from alta_runtimes import available, load
from alta_runtimes.choose import BACKENDS, default_threads
from alta_sdk.engine.processor import list_instruction_sets, processor_name
from alta_sdk.engine.tuning import Tuning

from .lower import TIMED_ROUNDS, time_radiographs
from .options import ExportOptions
from .radiographs import Radiographs

CPU = "cpu"


def tune_engine(options: ExportOptions, graph: onnx.ModelProto, compute: str, radiograph: Radiographs) -> Tuning:
    """Time an image graph in every back end that runs it on this CPU, in turn.

    compute: the type of its floating-point products. radiograph: one, which the graph reads.
    """
    data, every = graph.SerializeToString(), default_threads()
    ways = {
        f"{runtime} {threads}": (runtime, threads)
        for runtime in list_runtimes(options, compute)
        for threads in sorted({every, max(1, every // 2)}, reverse=True)
    }
    sessions = {
        name: load(data, device=CPU, threads=threads, runtime=runtime, compute=compute)
        for name, (runtime, threads) in ways.items()
    }
    times = time_radiographs(sessions, radiograph)
    return Tuning(
        processor_name(),
        list_instruction_sets(),
        every,
        TIMED_ROUNDS,
        {ways[name]: milliseconds for name, milliseconds in times.items()},
    )


def list_runtimes(options: ExportOptions, compute: str) -> list[str]:
    """Return the back ends that an engine may be run by on this CPU."""
    bound = [options.engine] if options.engine in BACKENDS else list(BACKENDS)
    working = [info.name for info in available() if CPU in info.devices]
    return [name for name in bound if name in working and compute in BACKENDS[name].COMPUTE]
