"""Does this machine compute what the export measured? Synthetic inputs, the reference's answers.

One row at each load, all rows by `alta doctor NAME.alta`. The answers are those of the FP32 PyTorch
towers with their adapters in; the tolerances are in the manifest.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError, IntegrityError
from .arrays import read_arrays
from .bundle import SELF_TEST, Bundle
from .heads import Head
from .image_encoder import ImageEncoder
from .manifest import LOCAL_HEADS, Manifest
from .text_encoder import RunText
from .vectors import Vector, to_unit_length

INPUTS = ("pixels", "slot", "input_ids", "attention_mask")
ANSWERS = ("image", "text")
MAX_ROWS = 64
PATCHES = "patches"  # of the first radiograph alone; tested when a heat map is first asked for
# Where there is a fuse graph: unit vectors (pairs, embedding), of radiograph i as the current one with radiograph i + 1
# as its prior, after the last one the first.
PAIRED = "paired"


@dataclass(frozen=True)
class Drift:
    """How far one kind of embedding is from the reference: worst cosine, largest difference, the limits."""

    output: str
    rows: int
    worst_cosine: float
    max_abs: float
    min_cosine: float
    max_abs_limit: float

    @property
    def is_within_limits(self) -> bool:
        """True if this hardware gives what the export measured."""
        return self.worst_cosine >= self.min_cosine and self.max_abs <= self.max_abs_limit


def measure_drift(output: str, computed: NDArray[Any], reference: NDArray[Any], limits: dict[str, float]) -> Drift:
    """Compare embeddings (n, embedding) of unit length, row by row, with the reference's; raises EngineError."""
    if computed.shape != reference.shape:
        raise EngineError(f"self-test failed: {output} has another shape than the reference's; export the engine again")
    cosines = np.sum(computed.astype(np.float64) * reference.astype(np.float64), axis=1)
    return Drift(
        output=output,
        rows=len(computed),
        worst_cosine=float(cosines.min()),
        max_abs=float(np.abs(computed - reference).max()),
        min_cosine=limits["min_cosine"],
        max_abs_limit=limits["max_abs"],
    )


def measure_patch_drift(computed: NDArray[Any], reference: NDArray[Any], limits: dict[str, float]) -> Drift:
    """Compare the directions of patch projections (n, patches, embedding), which are not of unit length."""
    ours, theirs = (to_unit_length(a.reshape(-1, a.shape[-1])) for a in (computed, reference))
    return measure_drift(PATCHES, ours, theirs, limits)


def run_self_test(
    bundle: Bundle, images: ImageEncoder, head: Head, run_text: RunText | None, rows: int | None = None
) -> list[Drift]:
    """Run the bundle's synthetic inputs through its encoder and its head, and through its text graph.

    run_text: tokens (n, length) to projections (n, embedding); None leaves them out. rows: limits how many of each.
    """
    answers = ANSWERS if run_text is not None else ANSWERS[:1]
    stored = _load(bundle, answers)
    take = slice(rows)
    cls = [
        images.run(stored["pixels"][i : i + 1], stored["slot"][i : i + 1])[0]
        for i in range(*take.indices(len(stored["pixels"])))
    ]
    if {vector.shape for vector in cls} != {(head.width,)}:
        raise EngineError("self-test failed: the graph's CLS does not fit the head; export the engine again")
    computed = {"image": to_unit_length(head.project(np.stack(cls)))}
    if run_text is not None:
        computed["text"] = to_unit_length(run_text(stored["input_ids"][take], stored["attention_mask"][take]))
    limits = bundle.manifest.verification["limits"]
    return [measure_drift(name, computed[name], stored[name][take], limits) for name in answers]


def run_text_test(bundle: Bundle, run_text: RunText) -> Drift:
    """Run the first of the bundle's tokens through its text graph, which was loaded later than the image graph."""
    stored = _load(bundle, ANSWERS[1:])
    computed = to_unit_length(run_text(stored["input_ids"][:1], stored["attention_mask"][:1]))
    return measure_drift(ANSWERS[1], computed, stored[ANSWERS[1]][:1], bundle.manifest.verification["limits"])


def run_patch_test(bundle: Bundle, encode: Callable[[NDArray[np.uint8], NDArray[np.int64]], Vector]) -> Drift:
    """Run the first synthetic radiograph through `encode`: the image graph and, where there is one, the patch graph."""
    stored = _load(bundle, (PATCHES,))
    rows = slice(len(stored[PATCHES]))
    computed = encode(stored["pixels"][rows], stored["slot"][rows])
    return measure_patch_drift(computed, stored[PATCHES], find_patch_limits(bundle.manifest))


def find_patch_limits(manifest: Manifest) -> dict[str, float]:
    """Return the limits of the patches: those of a patch graph, those that are stated, or those of vectors."""
    if LOCAL_HEADS in manifest.engine:
        return dict(manifest.engine[LOCAL_HEADS]["limits"])
    return dict(manifest.verification.get("patch_limits", manifest.verification["limits"]))


def run_pair_test(
    bundle: Bundle, images: ImageEncoder, project: Callable[[Vector, Vector], Vector], rows: int | None = None
) -> Drift:
    """Run synthetic radiographs beside their priors; project: features of both to a projection (embedding,).

    `rows` limits how many pairs.
    """
    stored = _load(bundle, (PAIRED,))
    reference = stored[PAIRED][slice(rows)]
    count = len(stored["pixels"])
    features = [
        images.run_features(stored["pixels"][row : row + 1], stored["slot"][row : row + 1])[0]
        for row in range(min(len(reference) + 1, count))
    ]
    computed = [project(features[row], features[(row + 1) % count]) for row in range(len(reference))]
    if {vector.shape for vector in computed} != {reference.shape[1:]}:
        raise EngineError("self-test failed: the fuse graph's projection has another shape; export the engine again")
    return measure_drift(PAIRED, to_unit_length(np.stack(computed)), reference, bundle.manifest.verification["limits"])


def require(drift: Drift) -> None:
    """Raise EngineError if this machine's numbers are beyond the limits."""
    if not drift.is_within_limits:
        raise EngineError(
            f"self-test failed on this machine: {drift.output} embedding has cosine {drift.worst_cosine:.6f} "
            f"with the reference (limit {drift.min_cosine}); do not use this engine here, see: alta doctor"
        )


def _load(bundle: Bundle, answers: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    stored = read_arrays(bundle.read(SELF_TEST), (*INPUTS, *answers), SELF_TEST)
    if not _fit(stored, bundle.manifest.sizes["embedding"], bundle.manifest.geometry.crop_px):
        raise IntegrityError(f"{SELF_TEST} holds arrays of another shape: export the bundle again")
    if stored["input_ids"].shape[1] > bundle.manifest.sizes["max_tokens"]:
        raise IntegrityError(f"{SELF_TEST} holds longer prompts than the engine reads: export the bundle again")
    return stored


def _fit(stored: dict[str, NDArray[Any]], embedding: int, crop_px: int) -> bool:
    """Tell whether inputs and answers are of one form: as many answers as inputs, in the engine's dimensions."""
    images, prompts = stored["slot"].shape, stored["input_ids"].shape
    if len(images) != 1 or len(prompts) != 2 or not all(1 <= rows <= MAX_ROWS for rows in (images[0], prompts[0])):
        return False
    wanted = {
        "pixels": (*images, 1, crop_px, crop_px),
        "attention_mask": prompts,
        "image": (*images, embedding),
        "text": (prompts[0], embedding),
    }
    patches = stored[PATCHES].shape if PATCHES in stored else (1, 1, embedding)
    paired = stored[PAIRED].shape if PAIRED in stored else (1, embedding)
    return (
        all(stored[name].shape == shape for name, shape in wanted.items() if name in stored)
        and len(patches) == 3
        and 1 <= patches[0] <= images[0]
        and patches[2] == embedding
        and math.isqrt(patches[1]) ** 2 == patches[1]
        and len(paired) == 2
        and 1 <= paired[0] <= images[0]
        and paired[1] == embedding
    )
