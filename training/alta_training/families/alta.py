"""ALTA itself as a family: today's reading of its checkpoints behind the interface of all."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from alta_sdk.dicom.intensity import PUBLISHED
from alta_sdk.engine.manifest_content import WORDS
from alta_sdk.errors import CheckpointError
from alta_sdk.study.geometry import ALTA_GEOMETRY

from ..model import AltaModel
from ..model.alta import to_model_input
from .bert_tower import make_tokenizer
from .checkpoint import PROFILE, Checkpoint, load_model, read_text_model
from .family import Family, Towers

PATCHES, TEXT = "patch_embed.proj.weight", "bert_encoder."
FUSION_MODES = ("frontal", "present", "published")


class AltaImage(nn.Module):
    """ALTA's image tower on grey pixels; `model` is the whole model, which merges and slots need."""

    def __init__(self, model: AltaModel) -> None:
        """Look at a model."""
        super().__init__()
        self.model = model

    def static(self, grey_u8: Tensor, slot: Tensor | None = None) -> Tensor:
        """Return the CLS (n, width) of radiographs (n, 1, px, px) uint8 in slots (n,); None: current frontals."""
        if slot is None:
            slot = torch.zeros(len(grey_u8), dtype=torch.int64, device=grey_u8.device)
        return self.model.image(to_model_input(grey_u8[:, 0]), slot)[:, 0]

    def project(self, cls: Tensor) -> Tensor:
        """Return the projections (n, embedding) of CLS, or of a study's fused ones, not of unit length."""
        projection: Tensor = self.model.image.projection_head(cls)
        return projection

    def forward(self, grey_u8: Tensor) -> Tensor:
        """Return the projections (n, embedding) of current frontals (n, 1, px, px) uint8."""
        return self.project(self.static(grey_u8))


class AltaText(nn.Module):
    """ALTA's text tower as far as prompts need it."""

    def __init__(self, model: AltaModel) -> None:
        """Look at a model."""
        super().__init__()
        self.tower = model.text

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the projections (n, embedding) of prompts, not of unit length."""
        projection: Tensor = self.tower.project(self.tower(input_ids, attention_mask))[0]
        return projection


def _read(checkpoint: Checkpoint, text_folder: Path | None, tokenizer: Path | None, image_heads: int | None) -> Towers:
    if text_folder is None:
        raise CheckpointError("ALTA needs the BERT folder that its text tower was trained from: give --text-model")
    if tokenizer is not None:
        raise CheckpointError("ALTA reads the vocab.txt of its text-model folder: leave --tokenizer out")
    text_model = read_text_model(text_folder)
    model = load_model(checkpoint, text_model, image_heads, decodes=False)
    return Towers(
        family=ALTA.name,
        image=AltaImage(model).eval(),
        text=AltaText(model).eval(),
        sizes=model.sizes.describe(),
        geometry=ALTA_GEOMETRY,
        intensity_profile=checkpoint.metadata.get(PROFILE, PUBLISHED),
        tokenizer_json=make_tokenizer(text_model, text_folder.name),
        logit_scale=math.exp(model.logit_scale.item()),
        fusion_modes=FUSION_MODES,
        default_fusion_mode=FUSION_MODES[0],
        patch_match=WORDS,
        provenance={"checkpoint_sha256": checkpoint.sha256},
    )


ALTA = Family(
    name="alta",
    title="ALTA",
    licence="CC BY-NC 4.0",
    intended_use=(
        "Research and evaluation of zero-shot matching of chest radiographs with text. "
        "Not for clinical use: not a medical device."
    ),
    method="ALTA (Lian et al., IEEE TMI 2025), adapters merged",
    source_line="computes what the published code of ALTA computes",
    looks_for=(PATCHES, f"{TEXT}*"),
    # Either: today's reader tells what a file with one of them lacks.
    recognises=lambda names: PATCHES in names or any(name.startswith(TEXT) for name in names),
    read=_read,
)
