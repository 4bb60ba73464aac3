"""What runs an engine fastest on this machine: each back end that can, with all processors and with half of them.

Half of them, since two that share a core may be slower than one. OpenVINO also runs the image graph with its tokens in
two parts (`row_blocks`), which is kept where it pays. Other forms that could differ by back end (docs/precision.md
lists them) were measured, and none pays in all of them.
"""

from dataclasses import dataclass

import onnx

from alta_runtimes import Session, available, load
from alta_runtimes.choose import BACKENDS, default_threads
from alta_runtimes.openvino_session import NAME as OPENVINO
from alta_sdk.engine.manifest_content import SPLIT, WHOLE
from alta_sdk.engine.processor import list_instruction_sets, processor_name
from alta_sdk.engine.tuning import Tuning, Way

from .gate import take_cosines
from .lower import TIMED_ROUNDS, time_radiographs
from .options import ExportOptions
from .radiographs import Radiographs
from .row_blocks import split_rows

CPU = "cpu"
PAYS = 1.05  # times as fast, for a form to be kept that takes as much space again
SAME = 0.99999  # cosine of the vectors of two forms: a bit of BF16 may round the other way


@dataclass(frozen=True, eq=False)
class TunedEngine:
    """What was measured, if it was. split: the image graph with its tokens in two parts, if that pays here."""

    tuning: Tuning | None
    split: onnx.ModelProto | None


def tune_engine(options: ExportOptions, graph: onnx.ModelProto, compute: str, radiograph: Radiographs) -> TunedEngine:
    """Time an image graph in every back end that runs it on this CPU, in turn.

    compute: the type of its floating-point products. radiograph: one, which the graph reads.
    """
    every = default_threads()
    runtimes = list_runtimes(options, compute)
    split = split_rows(graph) if OPENVINO in runtimes else None
    forms = {WHOLE: graph.SerializeToString()} | ({SPLIT: split.SerializeToString()} if split else {})
    ways = [
        Way(runtime, threads, form)
        for runtime in runtimes
        for threads in sorted({every, max(1, every // 2)}, reverse=True)
        for form in forms
        if form == WHOLE or runtime == OPENVINO
    ]
    sessions = {way: open_way(way, forms, compute) for way in ways}
    times = time_radiographs({str(way): session for way, session in sessions.items()}, radiograph)
    median_ms = {way: times[str(way)] for way in ways}
    cosine = measure_split(sessions, radiograph) if pays(median_ms) else None
    if cosine is None or cosine < SAME:
        split, cosine = None, None
        median_ms = {way: value for way, value in median_ms.items() if way.form == WHOLE}
    tuning = Tuning(processor_name(), list_instruction_sets(), every, TIMED_ROUNDS, median_ms, cosine)
    return TunedEngine(tuning, split)


def open_way(way: Way, forms: dict[str, bytes], compute: str) -> Session:
    """Load a graph as it is to be timed."""
    return load(forms[way.form], device=CPU, threads=way.threads, runtime=way.runtime, compute=compute)


def pays(median_ms: dict[Way, float]) -> bool:
    """True if a graph in two parts is faster than any other way of its back end, by enough."""
    whole, split = (
        [value for way, value in median_ms.items() if way.runtime == OPENVINO and way.form == form]
        for form in (WHOLE, SPLIT)
    )
    return bool(split) and min(split) * PAYS <= min(whole)


def measure_split(sessions: dict[Way, Session], radiograph: Radiographs) -> float:
    """Return the worst cosine of what a graph in two parts gives for a radiograph with what the whole one gives."""
    inputs = next(radiograph.inputs())
    given = {
        way: {name: array.reshape(1, -1) for name, array in session.run(inputs).items()}
        for way, session in sessions.items()
    }
    return min(
        min(take_cosines(given[way._replace(form=WHOLE)], given[way]).values()) for way in given if way.form == SPLIT
    )


def list_runtimes(options: ExportOptions, compute: str) -> list[str]:
    """Return the back ends that an engine may be run by on this CPU."""
    bound = [options.engine] if options.engine in BACKENDS else list(BACKENDS)
    working = [info.name for info in available() if CPU in info.devices]
    return [name for name in bound if name in working and compute in BACKENDS[name].COMPUTE]
