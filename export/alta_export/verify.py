"""Prove the graphs equal to the PyTorch towers before anything is written, and keep the answers.

The same synthetic inputs and the towers' answers go into the bundle as its self-test.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image

from alta_runtimes import Session, load
from alta_sdk.engine.manifest_content import FEATURES, FUSE, IMAGE, PRIOR_FEATURES, TEXT
from alta_sdk.engine.patches import list_places
from alta_sdk.engine.self_test import PATCHES, Drift, measure_drift, measure_patch_drift
from alta_sdk.engine.tokenizer import PromptTokenizer
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.errors import ExportError

from .families.merged import Arrays, MergedEngine, to_priors

LIMITS = {"min_cosine": 0.99999, "max_abs": 1e-4}
RADIOGRAPHS = 4
PROMPTS = 8
SEED = 20250611
SELF_TEST_SLACK = 1e-3
KEPT = ("image", "text", PATCHES, "paired")  # of the answers, in the self-test
LARGE = (PATCHES,)


@dataclass(frozen=True)
class Verification:
    """The self-test's arrays (inputs and the reference's answers) and how far the graphs are from them.

    Of the patches the self-test keeps the first radiograph's alone: they are large.
    """

    self_test: Arrays
    drifts: list[Drift]


def make_inputs(merged: MergedEngine, px: int, tokenizer: PromptTokenizer, prompts: list[str]) -> Arrays:
    """Make synthetic radiographs of px × px and tokens of prompts; the same for every export.

    The radiographs are one in each slot where the family knows slots, else current frontals.
    """
    encoded = tokenizer.encode(prompts)
    input_ids, mask = tokenizer.pad(encoded, len(encoded))
    return {
        "pixels": make_radiographs(RADIOGRAPHS, px),
        "slot": np.arange(RADIOGRAPHS, dtype=np.int64) * merged.has_slots,
        "input_ids": input_ids,
        "attention_mask": mask,
    }


def make_radiographs(count: int, size_px: int) -> NDArray[np.uint8]:
    """Make smooth random images (count, 1, size_px, size_px) uint8 with fine noise, from a fixed seed."""
    generator = np.random.default_rng(SEED)
    coarse = generator.integers(0, 256, (count, 14, 14), dtype=np.uint8)
    smooth = np.stack([np.asarray(Image.fromarray(c).resize((size_px, size_px))) for c in coarse])
    noise = generator.integers(-8, 9, smooth.shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)[:, None]


def verify_graphs(merged: MergedEngine, graphs: Mapping[str, onnx.ModelProto], inputs: Arrays) -> Verification:
    """Run the graphs against the published towers.

    Raises ExportError if an embedding's cosine is under 0.99999, or differs by over 1e-4 anywhere.
    """
    reference = merged.answer(inputs)
    loaded = {name: load(graph.SerializeToString(), runtime="onnxruntime") for name, graph in graphs.items()}
    drifts = compare_with_reference(merged, loaded, {**inputs, **reference}, tuple(reference))
    for drift in drifts:
        if not drift.is_within_limits:
            raise ExportError(
                f"{drift.output}: the graph differs from PyTorch (worst cosine {drift.worst_cosine:.7f}, "
                f"largest difference {drift.max_abs:.1e}); nothing was written"
            )
    kept = {name: answer[:1] if name in LARGE else answer for name, answer in reference.items() if name in KEPT}
    return Verification({**inputs, **kept}, drifts)


def compare_with_reference(
    merged: MergedEngine, sessions: Mapping[str, Session], self_test: Arrays, outputs: tuple[str, ...]
) -> list[Drift]:
    """Run loaded graphs on the self-test's inputs and compare the outputs named with what is kept of theirs."""
    computed = answer_with_graphs(merged, sessions, self_test)
    drifts = []
    for name in outputs:  # but for embeddings none is of unit length: directions are compared
        both = computed[name][: len(self_test[name])], self_test[name]
        ours, theirs = (to_unit_length(a.reshape(-1, a.shape[-1])) for a in both)
        drifts.append(measure_drift(name, ours, theirs, LIMITS))
    return drifts


def compare_patches(image: Session, patches: Session, self_test: Arrays, limits: dict[str, float]) -> Drift:
    """Run the image graph as far as its last block, then the patch graph, and compare with the reference's patches."""
    rows = slice(len(self_test[PATCHES]))
    tokens = image.run({"pixels": self_test["pixels"][rows], "slot": self_test["slot"][rows]})["tokens"]
    return measure_patch_drift(patches.run({"tokens": tokens})["patches"], self_test[PATCHES], limits)


def widen_limits(drifts: list[Drift]) -> dict[str, float]:
    """Return the self-test's limits for a lowered engine that drifts this far: on another machine it may twice."""
    return {
        "min_cosine": 1.0 - 2.0 * (1.0 - min(drift.worst_cosine for drift in drifts)) - SELF_TEST_SLACK,
        "max_abs": 2.0 * max(drift.max_abs for drift in drifts) + SELF_TEST_SLACK,
    }


def answer_with_graphs(merged: MergedEngine, sessions: Mapping[str, Session], inputs: Arrays) -> Arrays:
    """Run the graphs that are given, the image and the text graph among them, and name what they give as `answer` does.

    Maps become vectors of their places, as `list_places` makes them.
    """

    def run(name: str, given: Mapping[str, NDArray[Any]]) -> Arrays:
        return dict(sessions[name].run(merged.describe_graph(name).select_inputs(given)))

    seen, read = run(IMAGE, inputs), run(TEXT, inputs)
    found = {
        "image": to_unit_length(merged.head.project(take_vectors(seen))),
        "text": to_unit_length(read.pop("projection")),
        **read,
        **{name: array if array.ndim < 4 else list_places(array) for name, array in seen.items()},
    }
    if PATCHES in sessions:
        found[PATCHES] = run(PATCHES, seen)[PATCHES]
    if FUSE in sessions:
        paired = run(FUSE, {FEATURES: seen[FEATURES], PRIOR_FEATURES: to_priors(seen[FEATURES])})
        found["paired"] = to_unit_length(paired["projection"])
        found["paired_patches"] = list_places(paired["patches"])
    return found


def take_vectors(seen: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Return what the head reads (n, width) of what an image graph gives; of one that needs no head, projections."""
    return seen["cls"] if "cls" in seen else seen["projection"]
