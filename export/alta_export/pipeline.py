"""The whole way from a checkpoint to an engine, on one screen."""

import math
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from alta_sdk.dicom.intensity import check_profile
from alta_sdk.engine import bundle as names
from alta_sdk.engine.heads import Head
from alta_sdk.engine.label_sets import render_label_sets
from alta_sdk.engine.manifest import Manifest
from alta_sdk.engine.manifest_content import ALTA
from alta_sdk.engine.plans import build_bundle
from alta_sdk.engine.self_test import Drift
from alta_sdk.engine.signature import read_private_key
from alta_sdk.engine.tokenizer import PromptTokenizer, build_wordpiece
from alta_sdk.errors import ExportError
from alta_sdk.study.geometry import ALTA_GEOMETRY
from alta_training.families.checkpoint import Checkpoint, TextModel, load_model, read_checkpoint, read_text_model
from alta_training.model import AltaModel

from .bundle import make_head, open_written, pack_arrays, try_written, write_bundle
from .describe import describe_engine, measure_merging
from .families.registry import find_asking
from .graph import export_graph, image_inputs, patch_inputs, text_inputs
from .local_heads import LocalHeads, describe_local_heads
from .lower import LoweredEngine, Reference, lower_engine
from .options import ExportOptions, check_options, choose_profile
from .tensorrt_graph import check_for_tensorrt, open_deferred
from .towers import MergedTextTower, PatchTower, TracedImageTower
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
        checkpoint, text_model, model = read_model(options)
        profile = choose_profile(options.intensity_profile, checkpoint.metadata.get("intensity_profile"))
        options = replace(options, intensity_profile=check_profile(profile))
    with stage("Merge adapters"):
        image_tower, text_tower = TracedImageTower(model.image).eval(), MergedTextTower(model.text).eval()
        head = make_head(model)
        merging = measure_merging(model, image_tower, text_tower)
    with stage("Export image graph"):
        image = export_graph(image_tower, image_inputs(model.sizes.image.image_px), ["cls", "tokens"])
        patches = export_graph(PatchTower(model.image).eval(), patch_inputs(model.sizes.image), ["patches"])
    with stage("Export text graph"):
        text = export_graph(text_tower, text_inputs(), ["projection", "words"])
    with stage("Verify against PyTorch"):
        tokenizer_json = build_wordpiece(text_model.vocabulary, lowercase=text_model.lowercase)
        label_sets = find_asking(ALTA).list_label_sets()
        max_tokens = model.sizes.text.config.max_position_embeddings
        prompts = [prompt for label in label_sets["chexpert5"].values() for prompt in label.positive[:2]]
        tokenizer = PromptTokenizer(tokenizer_json, max_tokens)
        inputs = make_inputs(model, tokenizer, prompts[:PROMPTS])
        verification = verify_graphs(model, head, image, text, patches, inputs)
    with stage(f"Bring to {options.precision}"):
        reference = Reference(
            {"image": image, "text": text}, head, math.exp(model.logit_scale.item()), checkpoint.sha256, ALTA_GEOMETRY
        )
        lowered = lower_engine(options, reference, tokenizer, label_sets)
        self_test_limits = measure_limits(options, lowered, head, verification)
        local_heads = describe_local_heads(
            LocalHeads(model, patches, lowered.image.session), options.precision, verification.self_test
        )
    with stage("Write and open bundle"):
        contents = {
            names.IMAGE_GRAPH: lowered.image.graph.SerializeToString(deterministic=True),
            names.TEXT_GRAPH: lowered.text.graph.SerializeToString(deterministic=True),
            names.PATCH_GRAPH: patches.SerializeToString(deterministic=True),
            names.HEAD: pack_arrays(head.arrays()),
            names.TOKENIZER: tokenizer_json.encode(),
            names.PROMPTS: render_label_sets(label_sets).encode(),
            names.SELF_TEST: pack_arrays(verification.self_test),
        }
        if lowered.calibration is not None:
            contents[names.CALIBRATION] = lowered.calibration.render()
        describe = describe_engine(
            options, checkpoint, model, merging, verification.drifts, lowered, self_test_limits, local_heads
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
    heads_from = tell_heads(checkpoint, model, options)
    return ExportReport(options.output, manifest, verification.drifts, lowered, radiograph_s, heads_from)


def choose_finish(options: ExportOptions, lowered: LoweredEngine) -> Callable[[Path], object]:
    """Return what is done with the written folder before it gets its name: open it, and build what is to be built."""
    if options.engine != "trt":
        return try_written
    check_for_tensorrt("image", lowered.image.graph)
    check_for_tensorrt("text", lowered.text.graph)

    def finish(folder: Path) -> None:
        open_deferred(folder)
        if not options.defer_build:
            build_bundle(folder)

    return finish


def measure_limits(
    options: ExportOptions, lowered: LoweredEngine, head: Head, verification: Verification
) -> dict[str, float]:
    """Return the limits of the bundle's self-test: at FP32 the export's own, else by what this engine drifts.

    The self-test's answers are the FP32 reference's, so an engine of lower precision is off by its drift
    everywhere; another machine may be off twice as far.
    """
    if options.precision == "fp32":
        return LIMITS
    image, text = lowered.image.session, lowered.text.session
    return widen_limits(compare_with_reference(image, text, head, verification.self_test, ("image", "text")))


def read_model(options: ExportOptions) -> tuple[Checkpoint, TextModel, AltaModel]:
    """Read a checkpoint and its text model, and refuse sizes that the SDK's preprocessing does not make."""
    checkpoint = read_checkpoint(options.checkpoint)
    text_model = read_text_model(options.text_model)
    model = load_model(checkpoint, text_model, options.image_heads, decodes=False)
    image_px = model.sizes.image.image_px
    made_px = ALTA_GEOMETRY.crop_px
    if image_px != made_px:
        raise ExportError(f"image tower reads {image_px} px; the preprocessing of this version makes {made_px} px")
    activation = model.sizes.text.config.hidden_act
    if activation != "gelu":
        raise ExportError(f'text model has the activation "{activation}"; the merging is exact for "gelu" alone')
    return checkpoint, text_model, model


def tell_heads(checkpoint: Checkpoint, model: AltaModel, options: ExportOptions) -> str:
    """Say who told the image tower's heads: wrong ones that divide its width cannot be told from the weights."""
    if "image_heads" in checkpoint.metadata:
        return CHECKPOINT
    text = model.sizes.text.config
    usual = model.sizes.image.width // (text.hidden_size // text.num_attention_heads)
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
