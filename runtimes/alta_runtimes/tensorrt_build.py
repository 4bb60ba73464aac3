"""Build TensorRT plans out of ONNX graphs, on the GPU that will run them. Needs TensorRT alone: no torch, no onnx.

The graph says the precision (networks are strongly typed), so nothing is decided here; what TensorRT made of it
is read back from the built engine. Plans are version compatible and without TensorRT's host code, which is what
the lean runtime takes and what holds nothing that the host would execute.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import tensorrt_library
from .device_memory import Device
from .driver import Driver, DriverError
from .errors import EngineError, RuntimeUnavailable
from .tensorrt_library import FULL, MAJOR, last_error, make_logger
from .tensorrt_session import PlanOrigin, find_runtime

BUILT_THERE = "TensorRT engines are built on the GPU that runs them"
INSTALL = "pip install 'alta-sdk[trt-build]'"
LOWER = ("fp16", "bf16", "int8")
# The inspector's words for types, and ours. A tensor's other types (indices, shapes) are not counted.
TYPES = {
    **dict.fromkeys(("float", "fp32", "float32"), "fp32"),
    **dict.fromkeys(("half", "fp16", "float16"), "fp16"),
    **dict.fromkeys(("bfloat16", "bf16"), "bf16"),
    "int8": "int8",
}
Shape = tuple[int, ...]
Profile = Mapping[str, tuple[Shape, Shape, Shape]]  # smallest, best and largest shape, by input


@dataclass(frozen=True)
class BuildOptions:
    """precision: what the graph's products are in. workspace_bytes: at most this while a layer runs; None: no limit."""

    precision: str
    workspace_bytes: int | None = None


@dataclass(frozen=True, eq=False)
class BuiltPlan:
    """A plan; how many of its layers touch each type; and the timings that speed up the next build here."""

    plan: bytes
    layers: dict[str, int]
    timing_cache: bytes


def find_builder() -> PlanOrigin:
    """Return what a plan built here would run on; raise RuntimeUnavailable where none can be built."""
    try:
        state = Driver().describe()
    except DriverError as error:
        raise RuntimeUnavailable(f"{BUILT_THERE}; here is {error}") from error
    if not state.gpus:
        raise RuntimeUnavailable(f"{BUILT_THERE}; here {state.reason}")
    built_with, runs_with = tensorrt_library.find_version(FULL), find_runtime()
    if built_with is None or runs_with is None:
        raise RuntimeUnavailable(f"TensorRT's builder is not installed: {INSTALL}")
    if int(built_with.split(".")[0]) != MAJOR:
        raise RuntimeUnavailable(f"TensorRT {built_with} is installed; engines are built with {MAJOR}: {INSTALL}")
    if built_with != runs_with[1]:
        raise RuntimeUnavailable(
            f"TensorRT {built_with} would build and {runs_with[1]} run; the two have to be one version: {INSTALL}"
        )
    gpu = state.gpus[0]
    return PlanOrigin(gpu.name, gpu.compute_capability, built_with, state.cuda)


def build_plan(graph: bytes, profile: Profile, options: BuildOptions, timing_cache: bytes = b"") -> BuiltPlan:
    """Build the plan of one ONNX graph; takes minutes.

    timing_cache: of an earlier build, or nothing; one of another TensorRT or GPU is left aside.
    Raises RuntimeUnavailable where nothing can be built, EngineError if TensorRT refuses the graph or builds
    it in another precision than the graph's.
    """
    find_builder()
    try:
        Device(Driver()).make_current()
        trt = tensorrt_library.open_library(FULL)
    except (DriverError, ImportError) as error:
        raise RuntimeUnavailable(f"TensorRT does not start here: {error}") from error
    logger = make_logger(trt)
    try:
        return _build(trt, logger, graph, profile, options, timing_cache)
    except EngineError:
        raise
    except Exception as error:  # pybind11 raises TypeError, ValueError and RuntimeError
        raise EngineError(f"TensorRT cannot build this engine{last_error(logger)}") from error


def _build(
    trt: Any, logger: Any, graph: bytes, profile: Profile, options: BuildOptions, timing_cache: bytes
) -> BuiltPlan:
    builder = trt.Builder(logger)
    network = builder.create_network()
    _parse(trt, logger, network, graph)
    config = builder.create_builder_config()
    config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    config.set_flag(trt.BuilderFlag.EXCLUDE_LEAN_RUNTIME)
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default: what the graph keeps in FP32 stays FP32
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # or the inspector tells no types
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    shapes = builder.create_optimization_profile()
    for name, (smallest, best, largest) in profile.items():
        shapes.set_shape(name, smallest, best, largest)
    config.add_optimization_profile(shapes)
    if not config.set_timing_cache(config.create_timing_cache(timing_cache), ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    engine = builder.build_engine_with_config(network, config)
    if engine is None:
        raise EngineError(f"TensorRT cannot build this engine{last_error(logger)}")
    layers = read_layers(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))
    check_achieved(options.precision, layers)
    return BuiltPlan(bytes(engine.serialize()), layers, bytes(config.get_timing_cache().serialize()))


def _parse(trt: Any, logger: Any, network: Any, graph: bytes) -> None:
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        told = "; ".join(f"{error.node_name()}: {error.desc().splitlines()[0]}" for error in errors[:3])
        raise EngineError(f"TensorRT cannot read the graph: {told}")


def read_layers(information: str) -> dict[str, int]:
    """Count a built engine's layers by the types of the tensors they read or write, from the inspector's JSON.

    A layer that reads one type and writes another counts for both.
    """
    counts: dict[str, int] = {}
    for layer in json.loads(information)["Layers"]:
        if not isinstance(layer, dict):  # a name alone: the engine was built without details
            continue
        tensors = (*layer.get("Inputs", ()), *layer.get("Outputs", ()))
        named = {TYPES.get(str(tensor.get("DataType", "")).lower()) for tensor in tensors}
        for kind in named - {None}:
            counts[str(kind)] = counts.get(str(kind), 0) + 1
    return dict(sorted(counts.items()))


def check_achieved(precision: str, layers: dict[str, int]) -> None:
    """Raise EngineError unless a built engine computes in the precision that its graph asks for."""
    if not layers:
        raise EngineError("TensorRT does not tell the types of the engine it built: its precision cannot be checked")
    found = ", ".join(f"{count} in {kind}" for kind, count in layers.items())
    if precision in LOWER and precision not in layers:
        raise EngineError(f"TensorRT built no {precision} layer, though the graph asks for it: {found}")
    if precision not in LOWER and set(LOWER) & layers.keys():
        raise EngineError(f"TensorRT lowered the precision of an {precision} graph: {found}")
