"""The whole way from a checkpoint to an engine, on one screen."""

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from alta_sdk.engine import bundle as names
from alta_sdk.engine.label_sets import render_label_sets
from alta_sdk.engine.manifest import Manifest
from alta_sdk.engine.manifest_content import ALTA, FUSE, IMAGE, PATCHES, TEXT, compute_type, name_graph_file
from alta_sdk.engine.plans import build_bundle
from alta_sdk.engine.self_test import Drift
from alta_sdk.engine.signature import read_private_key
from alta_sdk.engine.tokenizer import PromptTokenizer
from alta_sdk.engine.tuning import SPLIT_GRAPH
from alta_sdk.study.slots import Slot

from .bundle import open_written, pack_arrays, try_written, write_bundle
from .card import read_card_files
from .describe import describe_engine
from .families.merged import MergedEngine
from .graph import export_graph
from .local_heads import LocalHeads, describe_local_heads
from .lower import LoweredEngine, lower_engine, make_synthetic
from .lowered_graphs import Reference
from .options import ExportOptions, check_options
from .prompt_vectors import encode_prompts
from .reading import Source, read_source
from .tensorrt_graph import check_for_tensorrt, open_deferred
from .tune import TunedEngine, tune_engine
from .verify import (
    LIMITS,
    PROMPTS,
    Verification,
    compare_with_reference,
    make_inputs,
    make_radiographs,
    verify_graphs,
    widen_limits,
)

TIMED_RUNS = 5
CHECKPOINT = "the checkpoint"
LOWERED = (IMAGE, FUSE, TEXT)  # the graphs whose precision is the engine's; the patch graph of ALTA stays in FP32
Stage = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True)
class ExportReport:
    """What an export made: where, the manifest, the measured drift, the time of one radiograph in seconds.

    radiograph_s is None for an engine that is not built yet. heads_from: who told the image tower's heads.
    """

    path: Path
    manifest: Manifest
    drifts: list[Drift]
    lowered: LoweredEngine
    radiograph_s: float | None
    heads_from: str = CHECKPOINT


def export_engine(options: ExportOptions, stage: Stage) -> ExportReport:
    """Make an engine of a checkpoint.

    stage: called with the name of each stage, gives a context that lasts as long as it.
    Raises CheckpointError or ExportError; nothing is left behind then.
    """
    check_options(options)
    with stage("Read checkpoint"):
        source, options = read_source(options)
        towers, name = source.towers, options.name or options.output.stem
        card = read_card_files(options.card, options.checkpoint, source.checkpoint, name)
    with stage(source.export.merging):
        merged = source.export.merge(towers)
    with stage("Export image graph"):
        graphs = export_graphs(merged, [name for name in merged.graphs if name != TEXT])
    with stage("Export text graph"):
        graphs |= export_graphs(merged, [TEXT])
    with stage("Verify against PyTorch"):
        label_sets = source.family.asking.list_label_sets()
        tokenizer = PromptTokenizer(towers.tokenizer_json, towers.sizes["max_tokens"], towers.prompt_rule)
        prompts = [prompt for label in label_sets["chexpert5"].values() for prompt in label.positive[:2]]
        inputs = make_inputs(merged, towers.geometry.crop_px, tokenizer, prompts[:PROMPTS])
        verification = verify_graphs(merged, graphs, inputs)
    with stage(f"Bring to {options.precision}"):
        reference = make_reference(source, merged, graphs)
        lowered = lower_engine(options, reference, tokenizer, label_sets)
        limits = measure_limits(options, lowered, merged, verification)
        local_heads = describe_patches(options, lowered, merged, graphs, verification)
    graphs |= lowered.models
    tuned = TunedEngine(None, None)
    if options.tune:
        with stage("Tune for this machine"):
            compute = compute_type(options.precision)
            tuned = tune_engine(options, graphs[IMAGE], compute, make_synthetic(reference, 1))
    with stage("Write and open bundle"):
        contents = {
            **{name_graph_file(name): graph.SerializeToString(deterministic=True) for name, graph in graphs.items()},
            names.HEAD: pack_arrays(merged.head.arrays()),
            names.TOKENIZER: towers.tokenizer_json.encode(),
            names.PROMPTS: render_label_sets(label_sets).encode(),
            names.SELF_TEST: pack_arrays(verification.self_test),
            **card,
        }
        if options.engine != "trt":  # whose text graph is built elsewhere
            session, graph = lowered.sessions[TEXT], merged.describe_graph(TEXT)
            contents[names.PROMPT_VECTORS] = encode_prompts(tokenizer, session, graph, label_sets)
        if tuned.split is not None:
            contents[SPLIT_GRAPH] = tuned.split.SerializeToString(deterministic=True)
        if lowered.calibration is not None:
            contents[names.CALIBRATION] = lowered.calibration.render()
        describe = describe_engine(
            options, source, merged, verification.drifts, lowered, limits, local_heads, tuned.tuning
        )
        finish = choose_finish(options, lowered)
        key = None if options.sign is None else read_private_key(options.sign)
        manifest = write_bundle(
            options.output, contents, describe, overwrite=options.overwrite, finish=finish, sign_with=key
        )
    radiograph_s = None
    if not options.defer_build:
        with stage("Time one radiograph"):
            radiograph_s = time_radiograph(options.output)
    if lowered.calibration is not None and options.calibration_cache is not None:
        lowered.calibration.keep(options.calibration_cache)
    heads_from = tell_heads(source, options)
    return ExportReport(options.output, manifest, verification.drifts, lowered, radiograph_s, heads_from)


def export_graphs(merged: MergedEngine, chosen: list[str]) -> dict[str, onnx.ModelProto]:
    """Export some of the graphs, by name."""
    found = {}
    for name in chosen:
        graph = merged.graphs[name]
        found[name] = export_graph(graph.tower, graph.inputs, list(graph.outputs))
    return found


def make_reference(source: Source, merged: MergedEngine, graphs: Mapping[str, onnx.ModelProto]) -> Reference:
    """Return the FP32 engine that one of lower precision is compared with."""
    return Reference(
        graphs={name: graphs[name] for name in LOWERED if name in graphs},
        head=merged.head,
        logit_scale=source.towers.logit_scale,
        checkpoint_sha256=source.checkpoint.sha256,
        geometry=source.towers.geometry,
        slots=tuple(Slot[name.upper()] for name in merged.slots),
        inputs={name: merged.describe_graph(name).inputs for name in (IMAGE, TEXT)},
        kept={name: graph.kept for name, graph in merged.graphs.items()},
    )


def choose_finish(options: ExportOptions, lowered: LoweredEngine) -> Callable[[Path], object]:
    """Return what is done with the written folder before it gets its name: open it, and build what is to be built."""
    if options.engine != "trt":
        return try_written
    for name, found in lowered.graphs.items():
        check_for_tensorrt(name, found.graph)

    def finish(folder: Path) -> None:
        open_deferred(folder)
        if not options.defer_build:
            build_bundle(folder)

    return finish


def measure_limits(
    options: ExportOptions, lowered: LoweredEngine, merged: MergedEngine, verification: Verification
) -> dict[str, dict[str, float]]:
    """Return the limits of the bundle's self-test: at FP32 the export's own, else by what this engine drifts.

    The self-test's answers are the FP32 reference's, so an engine of lower precision is off by its drift
    everywhere; another machine may be off twice as far. Patches of the image graph have limits of their own then.
    """
    if options.precision == "fp32":
        return {"limits": LIMITS}
    gives_patches = PATCHES in merged.describe_graph(IMAGE).outputs
    tested = ("image", "text", *(("paired",) if merged.has_prior else ()), *((PATCHES,) if gives_patches else ()))
    drifts = compare_with_reference(merged, lowered.sessions, verification.self_test, tested)
    patches = [drift for drift in drifts if drift.output == PATCHES]
    limits = {"limits": widen_limits([drift for drift in drifts if drift.output != PATCHES])}
    return {**limits, "patch_limits": widen_limits(patches)} if patches else limits


def describe_patches(
    options: ExportOptions,
    lowered: LoweredEngine,
    merged: MergedEngine,
    graphs: Mapping[str, onnx.ModelProto],
    verification: Verification,
) -> dict[str, Any] | None:
    """Say what the heat maps of an engine with a patch graph rest on; None for others."""
    if merged.patch_scale is None:
        return None
    heads = LocalHeads(graphs[PATCHES], lowered.graphs[IMAGE].session, merged.patch_scale)
    return describe_local_heads(heads, options.precision, verification.self_test)


def tell_heads(source: Source, options: ExportOptions) -> str:
    """Say who told the image tower's heads: wrong ones that divide its width cannot be told from the weights.

    Of other families than ALTA they are the published ones, or those that were given.
    """
    sizes = source.towers.sizes
    if source.family.name != ALTA or "image_heads" in source.checkpoint.metadata:
        return CHECKPOINT
    usual = sizes["image_width"] // (sizes["text_width"] // sizes["text_heads"])
    if options.image_heads in (None, usual):
        return "the text model's head size"
    return f"--image-heads, where the text model's head size gives {usual}"


def time_radiograph(path: Path) -> float:
    """Return the median time in seconds of encoding one radiograph with the engine, on every processor."""
    engine = open_written(path)
    pixels, slot = make_radiographs(1, engine.geometry.crop_px), np.zeros(1, dtype=np.int64)
    times = []
    for _ in range(TIMED_RUNS):
        start = time.perf_counter()
        engine.encode_pixels(pixels, slot)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
