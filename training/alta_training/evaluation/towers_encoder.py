"""The published towers of any family behind the face of all encoders, asked and scored as that family was published."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from alta_sdk.engine.tokenizer import PromptTokenizer
from alta_sdk.engine.vectors import Vector, to_unit_length

from ..families.family import Towers
from ..families.registry import find_family
from .frontals import BATCH, map_frontals


class TowersEncoder:
    """An Encoder of published towers, without the prior that some of them read."""

    def __init__(self, towers: Towers, name: str) -> None:
        """Measure towers where they are (CPU or GPU), on files read by their family's profile and geometry."""
        self.name = name
        self.logit_scale = towers.logit_scale
        self.prompt_average = towers.prompt_average
        self.asking = find_family(towers.family).asking
        self._towers = towers
        self._tokenizer = PromptTokenizer(towers.tokenizer_json, towers.sizes["max_tokens"], towers.prompt_rule)
        self._device = next(towers.image.parameters()).device

    def embed_radiographs(self, paths: Sequence[Path]) -> Vector:
        """See Encoder."""
        towers = self._towers
        projections = map_frontals(
            paths,
            towers.intensity_profile,
            towers.geometry,
            lambda grey: towers.image(grey[:, None].to(self._device)),
        )
        return to_unit_length(projections)

    def project_texts(self, texts: Sequence[str]) -> Vector:
        """See Encoder."""
        encoded = self._tokenizer.encode([self._tokenizer.cut(text) for text in texts])
        vectors = []
        with torch.no_grad():
            for start in range(0, len(encoded), BATCH):
                part = encoded[start : start + BATCH]
                ids, mask = (torch.from_numpy(array).to(self._device) for array in self._tokenizer.pad(part, len(part)))
                vectors.append(self._towers.text(ids, mask).float().cpu().numpy())
        return np.concatenate(vectors)
