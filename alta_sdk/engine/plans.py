"""TensorRT engines in a bundle: deferred (graphs, profiles and calibration), or built for one kind of GPU.

Building adds the plans to the folder and then replaces the manifest, which is what makes them part of the
bundle: a reader sees the deferred bundle or the built one, never half of either. The graphs stay, so that another
GPU or TensorRT can build again. A built manifest is the deferred one with what the build added, and taking that
away gives the deferred manifest to the last byte: so it proves which export it comes from.
"""

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from alta_runtimes import Session, load
from alta_runtimes.graph_check import check_graph
from alta_runtimes.tensorrt_build import BuildOptions, BuiltPlan, Profile, build_plan, find_builder
from alta_runtimes.tensorrt_session import PlanOrigin

from .._version import __version__
from ..errors import EngineError, IntegrityError, RuntimeUnavailable
from ..files.atomic import new_file
from .bundle import Bundle, open_bundle
from .clock import tell_time
from .fuse import FuseGraph
from .heads import read_head
from .image_encoder import ImageEncoder
from .manifest import MANIFEST_NAME, BundleFile, Manifest
from .manifest_content import FUSE, IMAGE, TEXT
from .patches import PatchGraph
from .schema import integer, listing, mapping, matching, plain, record, require, text
from .self_test import run_self_test
from .signature import TrustedKeys
from .text_encoder import TextEncoder

RUNTIME = "tensorrt"
PLANS = {name: f"{name}.plan" for name in (IMAGE, TEXT, FUSE)}  # of the graphs that are built, where an engine has them
TIMING_CACHE = "timing.cache"
LOCK = ".build.lock"
LOCK_TIMEOUT_S = 3600.0  # a build of the published size takes minutes
MIB = 1 << 20


def _workspace(value: Any, where: str) -> None:
    if value is not None:
        integer(1, 1 << 24)(value, where)


SHAPES = mapping(listing(listing(integer(1, 1 << 16), 8, 1), 3, 3), 8)
LAYERS = mapping(integer(0, 1 << 32), 16)


BUILT = record(
    {
        "origin": record(dict.fromkeys((field.name for field in fields(PlanOrigin)), text(200))),
        "layers": mapping(LAYERS, len(PLANS)),
        "deferred_sha256": matching("[0-9a-f]{64}", "a SHA-256"),
    },
    {"at": text(100), "by": text(100)},
    plain,
)
SECTION = record({"profiles": mapping(SHAPES, len(PLANS)), "workspace_mib": _workspace}, {"built": BUILT})
NOT_BUILT = (
    "this engine has not been built yet: on the GPU that will run it, run alta-export build NAME.alta, or open it "
    "once with allow_build=True"
)


def list_plans(manifest: Manifest) -> dict[str, str]:
    """Return the plans that a TensorRT engine has once it is built: their files, by graph."""
    return {name: file for name, file in PLANS.items() if name in manifest.graphs}


def is_for_tensorrt(manifest: Manifest) -> bool:
    """Tell whether a bundle is a TensorRT engine, built or not."""
    return bool(manifest.engine["runtime"] == RUNTIME)


def is_built(manifest: Manifest) -> bool:
    """Tell whether a TensorRT engine was built."""
    return "built" in _read_section(manifest)


def is_ready(manifest: Manifest) -> bool:
    """Tell whether an engine can be opened as it is: it is for another back end, or was built."""
    return not is_for_tensorrt(manifest) or is_built(manifest)


def _read_section(manifest: Manifest) -> dict[str, Any]:
    """Return what the manifest says of plans; raise IntegrityError if it is not what an export or a build writes."""
    section: Any = manifest.engine.get(RUNTIME)
    try:
        SECTION(section, "")
        _check_graphs(section, list_plans(manifest))
    except ValueError as error:
        raise IntegrityError(
            f"{MANIFEST_NAME} does not tell how this engine is built ({error}): copy or export it again"
        ) from error
    return dict(section)


def _check_graphs(section: Mapping[str, Any], plans: Mapping[str, str]) -> None:
    """Raise ValueError unless a section tells of those graphs that the engine has."""
    for place, told in (("profiles", section["profiles"]), ("built.layers", section.get("built", {}).get("layers"))):
        require(told is None or told.keys() == plans.keys(), place, "is of other graphs")


def open_plans(bundle: Bundle, *, device: str, runtime: str | None) -> dict[str, Session]:
    """Load the plans of a built engine, by graph: image, text and, where there is one, fuse.

    Raises RuntimeUnavailable for an engine that was not built, or was built for another GPU or TensorRT
    version, and where there is no driver; IntegrityError for one that was built from another export.
    """
    if runtime not in (None, RUNTIME):
        raise RuntimeUnavailable(f"this engine was exported for {RUNTIME}, not for {runtime}; export --engine onnx")
    if not is_built(bundle.manifest):
        raise RuntimeUnavailable(NOT_BUILT)
    strip_build(bundle.manifest)  # raises if it was built from another export
    origin = _read_section(bundle.manifest)["built"]["origin"]
    return {
        graph: load(bundle.read(name), name=name, device=device, runtime=RUNTIME, compute="plan", built_on=origin)
        for graph, name in list_plans(bundle.manifest).items()
    }


def build_bundle(
    path: str | os.PathLike[str], *, rebuild: bool = False, trusted: TrustedKeys | None = None
) -> Manifest:
    """Build a TensorRT engine in place, once: who comes second waits and finds it built.

    rebuild: build again what is built, for another GPU or another TensorRT. trusted: as in `open_bundle`; what is
    built after it was signed has to be signed again, since nobody but this machine has seen its plans.
    Returns the manifest of the built engine. Raises RuntimeUnavailable where nothing can be built, EngineError if
    TensorRT refuses or the built engine does not compute what the export measured: the bundle is then as it was
    (or deferred again, after a rebuild).
    """
    from filelock import FileLock, Timeout

    check_target(open_bundle(path, trusted=trusted).manifest)
    try:
        with FileLock(Path(path) / LOCK, timeout=LOCK_TIMEOUT_S):
            bundle = open_bundle(path, trusted=trusted)
            if strip_build(bundle.manifest) != bundle.manifest and not rebuild:
                return bundle.manifest
            find_builder()  # before anything is changed
            return _build(bundle)
    except Timeout as error:
        raise EngineError(f"another program has been building this engine for {LOCK_TIMEOUT_S / 60:.0f} min") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise EngineError(f"this engine cannot be built in its folder: {reason}; make the folder writable") from error


def check_target(manifest: Manifest) -> None:
    """Raise EngineError unless a bundle is a TensorRT engine."""
    if not is_for_tensorrt(manifest):
        raise EngineError(
            f"this engine runs on {manifest.engine['runtime']} and is not built; export --engine trt --defer-build"
        )


def _build(bundle: Bundle) -> Manifest:
    deferred = strip_build(bundle.manifest)
    cache = bundle.read(TIMING_CACHE) if is_built(bundle.manifest) else b""
    named = {name: bundle.manifest.graphs[name].file for name in list_plans(bundle.manifest)}
    graphs = {name: bundle.read(file) for name, file in named.items()}
    if deferred != bundle.manifest:  # the old plans are overwritten: until then the bundle is not built
        _write(bundle, MANIFEST_NAME, deferred.render())
    plans = {}
    for name, graph in graphs.items():
        profile = read_profile(deferred, name)
        largest = {tensor: shapes[-1] for tensor, shapes in profile.items()}
        check_graph(graph, named[name]).check_shapes(largest)
        plans[name] = build_plan(graph, profile, read_options(deferred), cache)
        cache = plans[name].timing_cache
        _write(bundle, PLANS[name], plans[name].plan)
    _write(bundle, TIMING_CACHE, cache)
    built = add_build(deferred, plans, cache)
    prove(Bundle(bundle.folder, built))
    _write(bundle, MANIFEST_NAME, built.render())
    return built


def _write(bundle: Bundle, name: str, data: bytes) -> None:
    with new_file(bundle.path(name)) as temporary:
        temporary.write_bytes(data)


def read_profile(manifest: Manifest, graph: str) -> Profile:
    """Return the shapes that a graph's plan is built for."""
    shapes = _read_section(manifest)["profiles"][graph]
    return {name: tuple(tuple(shape) for shape in three) for name, three in shapes.items()}  # type: ignore[misc]


def read_options(manifest: Manifest) -> BuildOptions:
    """Return how plans are built."""
    workspace_mib = _read_section(manifest)["workspace_mib"]
    return BuildOptions(manifest.engine["precision"], workspace_mib and workspace_mib * MIB)


def add_build(deferred: Manifest, plans: Mapping[str, BuiltPlan], timing_cache: bytes) -> Manifest:
    """Return the manifest of a built engine: it lists what was built, whatever lies in the folder by now."""
    added = {**{PLANS[name]: plan.plan for name, plan in plans.items()}, TIMING_CACHE: timing_cache}
    built = {
        "at": tell_time(),
        "by": __version__,
        "origin": find_builder().describe(),
        "layers": {name: plan.layers for name, plan in plans.items()},
        "deferred_sha256": deferred.sha256,
    }
    engine = {**deferred.engine, RUNTIME: {**deferred.engine[RUNTIME], "built": built}}
    listed = (BundleFile.of(name, data) for name, data in added.items())
    every = sorted((*deferred.files, *listed), key=lambda file: file.name)
    return replace(deferred, engine=engine, files=tuple(every))


def strip_build(manifest: Manifest) -> Manifest:
    """Return the manifest as it was before the build; itself if there was none.

    Raises IntegrityError if that is not the manifest that was built.
    """
    section = dict(_read_section(manifest))
    built = section.pop("built", None)
    if built is None:
        return manifest
    kept = tuple(file for file in manifest.files if file.name not in (*PLANS.values(), TIMING_CACHE))
    deferred = replace(manifest, engine={**manifest.engine, RUNTIME: section}, files=kept)
    if deferred.sha256 != built["deferred_sha256"]:
        raise IntegrityError(f"{MANIFEST_NAME} was built from another export: copy or export the bundle again")
    return deferred


def prove(bundle: Bundle) -> None:
    """Run the whole self-test of a built engine before it is called built; raise EngineError if it fails."""
    plans = open_plans(bundle, device="auto", runtime=None)
    image = plans[IMAGE]
    images = ImageEncoder(image, graph=bundle.manifest.graphs[IMAGE])
    drifts = run_self_test(bundle, images, read_head(bundle), TextEncoder(bundle, plans[TEXT]).run)
    beside = (FuseGraph(bundle, image, images, plans.get(FUSE)), PatchGraph(bundle, image))
    for drift in (*drifts, *(drift for graph in beside for drift in graph.run_self_test())):
        if not drift.is_within_limits:
            raise EngineError(
                f"the built engine's {drift.output} embeddings have cosine {drift.worst_cosine:.6f} with the reference "
                f"(limit {drift.min_cosine}), so it was left unbuilt; export with a higher --precision"
            )
