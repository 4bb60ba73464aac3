"""An engine: a verified bundle with its two graphs loaded, turning pixels and prompts into vectors.

Safe to use from several threads. A vector does not depend on what else is being computed: prompts run in
one fixed shape, eight at once; radiographs as `ImageEncoder` says.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from alta_runtimes import Session, choose_runtime, load

from ..dicom.intensity import check_profile
from ..errors import EngineError, RuntimeUnavailable
from ..matching.prompts import LabelSet, parse_label_sets
from ..study.study import Radiograph, Slot
from . import bundle as files
from .bundle import Bundle, open_bundle
from .fusion import Head, Vector
from .image_encoder import ImageEncoder
from .manifest import Manifest
from .patches import PatchGraph
from .plans import RUNTIME as TENSORRT
from .plans import build_bundle, is_built, is_for_tensorrt, open_plans
from .self_test import check_quickly
from .tokenizer import PromptTokenizer, pad_tokens, padded_length

TEXT_ROWS = 8
MAX_CACHED_PROMPTS = 20_000
PORTABLE = "onnx"  # the runtime of an engine that any back end may run


class Engine:
    """Open one with `Engine.open("chest.alta")`."""

    def __init__(self, bundle: Bundle, image: Session, text: Session, runtime_reason: str) -> None:
        """Put an engine together from a verified bundle and its loaded graphs; why this runtime was taken."""
        self.runtime_reason = runtime_reason
        self.manifest: Manifest = bundle.manifest
        self.bundle = bundle
        self.head = Head.load(bundle.path(files.HEAD))
        self.label_sets: dict[str, LabelSet] = parse_label_sets(_read_text(bundle, files.PROMPTS))
        self._tokenizer = PromptTokenizer(_read_text(bundle, files.TOKENIZER), self.max_tokens)
        self._images = ImageEncoder(image)
        self._image_info = image.info
        self._text = text
        self.patches = PatchGraph(self, image)
        self._projections: dict[str, Vector] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        runtime: str | None = None,
        threads: int | None = None,
        allow_build: bool = False,
    ) -> "Engine":
        """Verify a bundle, load its graphs and run one row of its self-test.

        allow_build: build a TensorRT engine whose build was deferred, once; takes minutes.
        Raises EngineError (no bundle, newer schema, wrong numbers on this machine), IntegrityError (a file
        was changed) or RuntimeUnavailable (device or back end does not work here).
        """
        bundle = open_bundle(path)
        check_profile(bundle.manifest.intensity_profile)
        if allow_build and is_for_tensorrt(bundle.manifest) and not is_built(bundle.manifest):
            build_bundle(path)
            bundle = open_bundle(path)
        engine = cls(bundle, *_load_graphs(bundle, device, runtime, threads))
        check_quickly(engine)
        return engine

    @property
    def max_tokens(self) -> int:
        """The longest prompt in tokens, [CLS] and [SEP] included."""
        return self.manifest.sizes["max_tokens"]

    @property
    def provenance(self) -> dict[str, str | int]:
        """What computes: engine, SDK, back end and device, without a path."""
        info = self._image_info
        return {
            "engine": self.manifest.name,
            "engine_sha256": self.manifest.sha256,
            "exported_by": self.manifest.sdk_version,
            "precision": self.manifest.engine["precision"],
            "runtime": f"{info.runtime} {info.version}",
            "runtime_reason": self.runtime_reason,
            "device": info.device,
            "threads": info.threads,
        }

    def encode_radiographs(self, radiographs: Mapping[Slot, Radiograph]) -> dict[Slot, Vector]:
        """Return the CLS vector (width,) float32, read-only, of each slot's radiograph: new ones run as one batch."""
        vectors = self._images.encode([(radiograph.pixels_u8, slot) for slot, radiograph in radiographs.items()])
        return dict(zip(radiographs, vectors, strict=True))

    def encode_radiograph(self, radiograph: Radiograph, slot: Slot) -> Vector:
        """Return the CLS vector (width,) float32, read-only, of one radiograph in one slot."""
        return self.encode_radiographs({slot: radiograph})[slot]

    def encode_pixels(self, pixels: NDArray[np.uint8], slot: NDArray[np.int64]) -> Vector:
        """Run the image graph: pixels (n, 1, 224, 224) uint8 and slots (n,) to CLS (n, width) float32."""
        return self._images.run(pixels, slot)

    def encode_tokens(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> Vector:
        """Run the text graph: tokens (n, length) to global projections (n, embedding), not normalised."""
        outputs = self._text.run({"input_ids": input_ids, "attention_mask": attention_mask})
        return np.asarray(outputs["projection"], dtype=np.float32)

    def project_words(self, phrase: str) -> Vector:
        """Return the local projections of a phrase's tokens, [SEP] included: (words, embedding), not normalised.

        Raises PromptError for an empty phrase or one that is too long.
        """
        ids = self._tokenizer.encode([phrase])[0]
        input_ids, mask = pad_tokens([ids], TEXT_ROWS, self.max_tokens)
        words = self._text.run({"input_ids": input_ids, "attention_mask": mask})["words"]
        return np.asarray(words[0, : len(ids) - 1], dtype=np.float32)  # the graph has dropped [CLS]

    def cut_prompt(self, text: str) -> str:
        """Return a report cut to what the text tower reads; scoring never does this by itself."""
        return self._tokenizer.cut(text)

    def project_prompts(self, prompts: Sequence[str]) -> Vector:
        """Return the global projections (n, embedding) float32 of prompts, not normalised; cached.

        Raises PromptError for an empty prompt or one that is too long.
        """
        known: dict[str, Vector] = {}
        with self._lock:
            known.update((p, self._projections[p]) for p in prompts if p in self._projections)
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
        encoded = self._tokenizer.encode(new) if new else []
        for chunk in _chunks_of_one_length(encoded):
            input_ids, mask = pad_tokens([encoded[i] for i in chunk], TEXT_ROWS, self.max_tokens)
            vectors = self.encode_tokens(input_ids, mask)
            known.update((new[i], vectors[row].copy()) for row, i in enumerate(chunk))
        with self._lock:
            if len(self._projections) + len(new) > MAX_CACHED_PROMPTS:
                self._projections.clear()
            self._projections.update((prompt, known[prompt]) for prompt in new)
        width = self.manifest.sizes["embedding"]
        return np.stack([known[prompt] for prompt in prompts]) if prompts else np.zeros((0, width), np.float32)


def compute_type(precision: str) -> str:
    """Return what a back end has to compute an engine's floating-point products in: "f32" or "bf16"."""
    return "bf16" if precision == "bf16" else "f32"


def _chunks_of_one_length(encoded: list[list[int]]) -> Iterator[tuple[int, ...]]:
    """Yield indices in chunks of at most 8 whose padded lengths are equal."""
    order = sorted(range(len(encoded)), key=lambda i: padded_length(encoded[i]))
    for _, group in groupby(order, key=lambda i: padded_length(encoded[i])):
        same = tuple(group)
        yield from (same[start : start + TEXT_ROWS] for start in range(0, len(same), TEXT_ROWS))


def _load_graphs(bundle: Bundle, device: str, runtime: str | None, threads: int | None) -> tuple[Session, Session, str]:
    """Return the loaded image graph, the loaded text graph, and why this back end was taken."""
    if is_for_tensorrt(bundle.manifest):
        return (*open_plans(bundle, device=device, runtime=runtime), "the engine was exported for it")
    if runtime == TENSORRT:
        raise RuntimeUnavailable(f"this bundle holds no {TENSORRT} engine: export --engine trt")
    compute = compute_type(bundle.manifest.engine["precision"])
    chosen, reason = _choose(bundle.manifest, runtime, compute, device)
    image, text = (
        load(bundle.path(name), device=device, threads=threads, runtime=chosen, compute=compute)
        for name in (files.IMAGE_GRAPH, files.TEXT_GRAPH)
    )
    return image, text, reason


def _choose(manifest: Manifest, runtime: str | None, compute: str, device: str) -> tuple[str, str]:
    """Return the back end for an engine and why: the caller's word, the engine's, or the fastest here."""
    if runtime is not None:
        return runtime, "asked for"
    if manifest.engine["runtime"] != PORTABLE:
        return manifest.engine["runtime"], "the engine was exported for it"
    return choose_runtime(compute, device)


def _read_text(bundle: Bundle, name: str) -> str:
    try:
        return bundle.path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"{name} cannot be read: export the bundle again") from error
