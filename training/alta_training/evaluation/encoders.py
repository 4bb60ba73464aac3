"""One face for a checkpoint and for a bundle, so that both are measured by the same code.

Radiographs are embedded in frontal mode, through the SDK's own reading of files.
"""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from alta_sdk import Matcher, Slot
from alta_sdk.dicom.intensity import PUBLISHED
from alta_sdk.engine.engine import Engine
from alta_sdk.engine.manifest import MANIFEST_NAME
from alta_sdk.engine.manifest_content import BEFORE_NORMALISATION
from alta_sdk.engine.tokenizer import build_wordpiece, pad_tokens
from alta_sdk.engine.vectors import Vector, to_unit_length
from alta_sdk.errors import TrainingError
from alta_sdk.files.opening import is_there
from alta_sdk.matching.prompts import build_label_sets
from alta_sdk.matching.scoring import average_prompts
from alta_sdk.study.geometry import ALTA_GEOMETRY

from ..adapters import leave_out_adapters
from ..families.alta import ALTA
from ..families.asking import Asking
from ..families.checkpoint import TextModel, load_model, read_text_model
from ..families.open_clip_folder import CONFIG
from ..families.reading import GivenFiles, is_open_clip_folder, recognise_files
from ..model import AltaModel
from ..model.alta import to_model_input
from .frontals import BATCH, map_frontals, read_frontals
from .towers_encoder import TowersEncoder


class Encoder(Protocol):
    """What the protocols measure.

    logit_scale: what cosines are multiplied with before a softmax, as learned. prompt_average: how the prompts of a
    label become one vector, as the manifest of an engine has it. asking: the pair of prompts of a finding, and label
    sets of its family's own.
    """

    name: str
    logit_scale: float
    prompt_average: str
    asking: Asking

    def embed_radiographs(self, paths: Sequence[Path]) -> Vector:
        """Embed files as current frontals: (n, embedding) float32, unit length."""

    def project_texts(self, texts: Sequence[str]) -> Vector:
        """Return global projections (n, embedding) float32, not normalised; a long text is cut at its end."""


def embed_label(encoder: Encoder, prompts: Sequence[str]) -> Vector:
    """Embed one label's prompts: their mean, of unit length (embedding,), as published."""
    return average_prompts(encoder.project_texts(prompts), encoder.prompt_average)


def embed_reports(encoder: Encoder, texts: Sequence[str]) -> Vector:
    """Embed reports one by one: (n, embedding), unit length."""
    return to_unit_length(encoder.project_texts(texts))


class CheckpointEncoder:
    """The PyTorch towers, adapters in."""

    def __init__(
        self,
        model: AltaModel,
        text_model: TextModel,
        name: str = "checkpoint",
        intensity_profile: str = PUBLISHED,
    ) -> None:
        """Measure a model where it is (CPU or GPU), in evaluation mode, on DICOM files read as it was trained."""
        from tokenizers import Tokenizer

        self.name = name
        self.logit_scale = math.exp(model.logit_scale.item())
        self.prompt_average = BEFORE_NORMALISATION
        self.asking = ALTA.asking
        self._model = model.eval()
        self._intensity_profile = intensity_profile
        self._max_tokens = text_model.config.max_position_embeddings
        self._tokenizer: Any = Tokenizer.from_str(
            build_wordpiece(text_model.vocabulary, lowercase=text_model.lowercase)
        )
        self._tokenizer.enable_truncation(self._max_tokens)
        self._device = next(model.parameters()).device

    def embed_radiographs(self, paths: Sequence[Path]) -> Vector:
        """See Encoder."""
        return self._map_radiographs(paths, self._model.embed_radiographs)

    def embed_frozen(self, paths: Sequence[Path]) -> Vector:
        """Return what the image tower makes of files without its adapters: (n, 2 · width) float32.

        The CLS token, then the mean of the patch tokens, both after the final norm; layer norms, tokens and
        slot embeddings stay the model's.
        """
        tower = self._model.image

        def encode(pixels: Tensor) -> Tensor:
            tokens = tower(pixels, torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device))
            return torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1)  # (n, 2 · width)

        with leave_out_adapters(tower):
            return self._map_radiographs(paths, encode)

    def _map_radiographs(self, paths: Sequence[Path], encode: Callable[[Tensor], Tensor]) -> Vector:
        """Give files, read as current frontals (n, 3, px, px), to a part of the model, in batches."""
        return map_frontals(
            paths,
            self._intensity_profile,
            ALTA_GEOMETRY,
            lambda grey: encode(to_model_input(grey.to(self._device))),
        )

    def project_texts(self, texts: Sequence[str]) -> Vector:
        """See Encoder."""
        encoded = [item.ids for item in self._tokenizer.encode_batch(list(texts))]
        vectors = []
        with torch.no_grad():
            for start in range(0, len(encoded), BATCH):
                part = encoded[start : start + BATCH]
                ids, mask = (
                    torch.from_numpy(array).to(self._device) for array in pad_tokens(part, len(part), self._max_tokens)
                )
                vectors.append(self._model.text.project(self._model.text(ids, mask))[0].float().cpu().numpy())
        return np.concatenate(vectors)


class BundleEncoder:
    """An exported engine, through the SDK."""

    def __init__(self, matcher: Matcher) -> None:
        """Measure an engine; the Matcher must be in frontal mode."""
        if matcher.fusion_mode != "frontal":
            raise TrainingError("the protocols measure frontal mode: open the engine with fusion_mode frontal")
        self.name = matcher.engine.manifest.name
        self.logit_scale = matcher.engine.manifest.logit_scale
        self.prompt_average = matcher.engine.manifest.prompt_average
        self.asking = _tell_asking(matcher.engine)
        self._engine = matcher.engine

    def embed_radiographs(self, paths: Sequence[Path]) -> Vector:
        """See Encoder."""
        profile = self._engine.manifest.intensity_profile
        cls = [self._engine.encode_radiograph(one, Slot.FRONTAL) for one in read_frontals(paths, profile)]
        return to_unit_length(self._engine.head.project(np.stack(cls)))

    def project_texts(self, texts: Sequence[str]) -> Vector:
        """See Encoder."""
        return self._engine.project_prompts([self._engine.cut_prompt(text) for text in texts])


def _tell_asking(engine: Engine) -> Asking:
    """Return how an engine is asked, as its bundle says."""
    usual = build_label_sets().keys()
    more_sets = {name: labels for name, labels in engine.label_sets.items() if name not in usual}
    return Asking(engine.manifest.prompt_pair, engine.manifest.logit_scale_note, more_sets)


class RememberingEncoder:
    """Another encoder that embeds each file once: one radiograph is asked about many findings."""

    def __init__(self, encoder: Encoder) -> None:
        """Remember what an encoder says of files; texts are passed on."""
        self.name, self.logit_scale = encoder.name, encoder.logit_scale
        self.prompt_average, self.asking = encoder.prompt_average, encoder.asking
        self.project_texts = encoder.project_texts
        self._encoder = encoder
        self._known: dict[Path, Vector] = {}

    def embed_radiographs(self, paths: Sequence[Path]) -> Vector:
        """See Encoder."""
        new = [path for path in dict.fromkeys(paths) if path not in self._known]
        if new:
            self._known.update(zip(new, self._encoder.embed_radiographs(new), strict=True))
        return np.stack([self._known[path] for path in paths])


def open_encoder(
    path: Path,
    text_model: Path | None = None,
    image_heads: int | None = None,
    *,
    tokenizer: Path | None = None,
    text_heads: int | None = None,
    preprocessing: str | None = None,
) -> Encoder:
    """Open a bundle, or a checkpoint of any family with its text model (or the folder text-model beside it).

    path: of a bundle, a checkpoint's file, or a published folder of open_clip. The others: see GivenFiles.
    Raises CheckpointError, EngineError or TrainingError.
    """
    if not os.path.exists(path):
        raise TrainingError(f"{path.name} not found: give a checkpoint or an engine")
    given = GivenFiles(path, text_model, tokenizer, image_heads, text_heads, preprocessing)
    if os.path.isdir(path) and not is_open_clip_folder(path):
        _check_bundle(given)
        return BundleEncoder(Matcher(path, fusion_mode="frontal"))
    found = recognise_files(given)
    if found.family is not ALTA:
        return TowersEncoder(found.read(), path.resolve().name if os.path.isdir(path) else path.stem)
    if found.folder is None or not os.path.isdir(found.folder):
        raise TrainingError("a checkpoint needs its text model: give --text-model")
    text, checkpoint = read_text_model(found.folder), found.checkpoint
    profile = checkpoint.metadata.get("intensity_profile", PUBLISHED)
    return CheckpointEncoder(load_model(checkpoint, text, image_heads, decodes=False), text, path.stem, profile)


def _check_bundle(given: GivenFiles) -> None:
    """Raise TrainingError for a folder of another kind, and for what an engine has in itself, named beside it."""
    path = given.checkpoint
    if not is_there(path / MANIFEST_NAME):
        raise TrainingError(
            f"folder {path.name} is no engine ({MANIFEST_NAME}) and no model of open_clip ({CONFIG}): give one of "
            "them, or the file of a checkpoint"
        )
    if given != GivenFiles(path):
        raise TrainingError("an engine has its text model, tokenizer, heads and pixels in it: name nothing beside it")
