"""Prove the graphs equal to the PyTorch towers before anything is written, and keep the answers.

The same synthetic inputs and the towers' answers go into the bundle as its self-test.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from PIL import Image

from alta_runtimes import Session, load
from alta_sdk.engine.heads import Head
from alta_sdk.engine.self_test import PATCHES, Drift, measure_drift, measure_patch_drift
from alta_sdk.engine.tokenizer import PromptTokenizer
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.errors import ExportError
from alta_training.model import AltaModel
from alta_training.model.alta import to_model_input

LIMITS = {"min_cosine": 0.99999, "max_abs": 1e-4}
RADIOGRAPHS = 4
PROMPTS = 8
SEED = 20250611
SELF_TEST_SLACK = 1e-3
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Verification:
    """The self-test's arrays (inputs and the reference's answers) and how far the graphs are from them.

    Of the patches the self-test keeps the first radiograph's alone: they are large.
    """

    self_test: Arrays
    drifts: list[Drift]


def make_inputs(model: AltaModel, tokenizer: PromptTokenizer, prompts: list[str]) -> Arrays:
    """Make synthetic radiographs, one in each slot, and tokens of prompts; the same for every export."""
    encoded = tokenizer.encode(prompts)
    input_ids, mask = tokenizer.pad(encoded, len(encoded))
    return {
        "pixels": make_radiographs(RADIOGRAPHS, model.sizes.image.image_px),
        "slot": np.arange(RADIOGRAPHS, dtype=np.int64),
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


def answer_with_pytorch(model: AltaModel, inputs: Arrays) -> Arrays:
    """Run the towers with their adapters in: unit-length embeddings, CLS, and the local projections of both."""
    with torch.no_grad():
        pixels = to_model_input(torch.from_numpy(inputs["pixels"][:, 0]))
        tokens = model.image(pixels, torch.from_numpy(inputs["slot"]))
        cls = tokens[:, 0]
        hidden = model.text(torch.from_numpy(inputs["input_ids"]), torch.from_numpy(inputs["attention_mask"]))
        projection, words = model.text.project(hidden)
        image = model.image.projection_head(cls)
        patches = model.image.local_projection_head(tokens[:, 1:])
    return {
        "image": to_unit_length(image.numpy()),
        "text": to_unit_length(projection.numpy()),
        "cls": cls.numpy(),
        "words": words.numpy(),
        "patches": patches.numpy(),
    }


def verify_graphs(
    model: AltaModel,
    head: Head,
    image: onnx.ModelProto,
    text: onnx.ModelProto,
    patches: onnx.ModelProto,
    inputs: Arrays,
) -> Verification:
    """Run the graphs against the towers.

    Raises ExportError if an embedding's cosine is under 0.99999, or differs by over 1e-4 anywhere.
    """
    reference = answer_with_pytorch(model, inputs)
    loaded = [load(graph.SerializeToString(), runtime="onnxruntime") for graph in (image, text, patches)]
    given = {**inputs, **reference}
    drifts = compare_with_reference(loaded[0], loaded[1], head, given, ("image", "text", "cls", "words"))
    drifts.append(compare_patches(loaded[0], loaded[2], given, LIMITS))
    for drift in drifts:
        if not drift.is_within_limits:
            raise ExportError(
                f"{drift.output}: the graph differs from PyTorch (worst cosine {drift.worst_cosine:.7f}, "
                f"largest difference {drift.max_abs:.1e}); nothing was written"
            )
    answers = {name: reference[name] for name in ("image", "text")} | {PATCHES: reference[PATCHES][:1]}
    return Verification({**inputs, **answers}, drifts)


def compare_with_reference(
    image: Session, text: Session, head: Head, self_test: Arrays, outputs: tuple[str, ...]
) -> list[Drift]:
    """Run loaded graphs on the self-test's inputs and compare the outputs named with the reference's."""
    computed = _answer_with_graphs(image, text, head, self_test)
    drifts = []
    for name in outputs:  # cls and words are not of unit length: directions are compared
        ours, theirs = (to_unit_length(a[name].reshape(-1, a[name].shape[-1])) for a in (computed, self_test))
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


def _answer_with_graphs(image: Session, text: Session, head: Head, inputs: Arrays) -> Arrays:
    seen = image.run({"pixels": inputs["pixels"], "slot": inputs["slot"]})
    read = text.run({"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]})
    return {
        "image": to_unit_length(head.project(seen["cls"])),
        "text": to_unit_length(read["projection"]),
        "cls": seen["cls"],
        "words": read["words"],
    }
