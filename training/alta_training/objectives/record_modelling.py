"""Pretraining by masked record modelling: the same loop and losses, without alignment and without adapters."""

from dataclasses import dataclass, replace

import torch
from transformers import BertConfig

from alta_sdk.errors import TrainingError
from alta_sdk.study.geometry import ALTA_GEOMETRY

from ..adapters import ADAPTERS
from ..families.backbone import start_fresh
from ..model import AltaModel
from ..model.names import published_name
from ..model.sizes import DecoderSizes, ImageSizes, ModelSizes, TextSizes
from ..recipe import Recipe
from .alignment import list_objective_settings
from .global_contrast import GlobalContrast
from .local_contrast import LocalContrast
from .reconstruction import Reconstruction
from .report_modelling import ReportModelling

PRETRAINED_BY = (Reconstruction.name, ReportModelling.name)
LEFT_OUT = (GlobalContrast.name, LocalContrast.name)
ALIGNMENT_ONLY = ("projection_head", "logit_scale", "missing_token", "view_embedding", "temporal_embedding")
FIXED = ("pos_embed",)


@dataclass(frozen=True)
class TowerSizes:
    """Sizes of a tower to pretrain; the text tower is as wide as the image tower unless said."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    patch_px: int = 16
    decoder_width: int = 768
    decoder_depth: int = 4
    decoder_heads: int = 6
    text_width: int = 768
    text_depth: int = 6
    text_heads: int = 12
    vocabulary: int = 30522
    max_tokens: int = 128

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together (TrainingError)."""
        for side, heads in (("width", "heads"), ("decoder_width", "decoder_heads"), ("text_width", "text_heads")):
            if getattr(self, side) < 4 or getattr(self, side) % max(getattr(self, heads), 1):
                raise TrainingError(f"{side} {getattr(self, side)} is not a multiple of {heads}: change one of them")
        if ALTA_GEOMETRY.crop_px % self.patch_px or self.width % 4:
            raise TrainingError(f"patch_px must divide {ALTA_GEOMETRY.crop_px} and width be a multiple of 4")


def make_model(sizes: TowerSizes, seed: int, kind: str) -> AltaModel:
    """Make a fresh model to pretrain, from a seed; kind: of the adapters that it is given for later."""
    torch.manual_seed(seed)
    config = make_text_config(sizes)
    adapter, text_adapter = max(1, sizes.width // 4), max(1, sizes.text_width // 4)
    model = AltaModel(
        ModelSizes(
            ImageSizes(
                sizes.width,
                sizes.depth,
                sizes.heads,
                4 * sizes.width,
                adapter,
                adapter,
                ALTA_GEOMETRY.crop_px,
                sizes.patch_px,
                adapter=kind,
            ),
            DecoderSizes(sizes.decoder_width, sizes.decoder_depth, sizes.decoder_heads, 4 * sizes.decoder_width),
            TextSizes(config, text_adapter, text_adapter, adapter=kind),
        )
    )
    start_fresh(model)
    return model


def make_text_config(sizes: TowerSizes) -> BertConfig:
    """Return the text tower's configuration."""
    return BertConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.text_width,
        num_hidden_layers=sizes.text_depth,
        num_attention_heads=sizes.text_heads,
        intermediate_size=4 * sizes.text_width,
        max_position_embeddings=sizes.max_tokens,
    )


def train_backbones(model: AltaModel) -> None:
    """Let the towers and the decoder train, and nothing that belongs to alignment."""
    kept = (*ADAPTERS[model.sizes.image.adapter].trained_parts, *ALIGNMENT_ONLY, *FIXED)
    for name, parameter in model.named_parameters():
        own = published_name(name)
        parameter.requires_grad_(not any(part in own for part in kept))


def as_pretraining(recipe: Recipe) -> Recipe:
    """Return the recipe with the objectives of masked record modelling alone, on the current frontal.

    The published ones of alignment are left out. Raises TrainingError if any other has a weight, and for looks.
    """
    settings = list_objective_settings(recipe)
    others = [name for name in settings if name not in (*PRETRAINED_BY, *LEFT_OUT) and settings[name].weight]
    if others:
        raise TrainingError(f"pretraining has no objective {', '.join(others)}: give it no weight")
    if recipe.looks:
        raise TrainingError("recipe: pretraining trains the whole image tower, and keeps no looks: set looks=0")
    own = {name: one if name in PRETRAINED_BY else replace(one, weight=0.0) for name, one in settings.items()}
    return replace(recipe, objectives=own, fusion="frontal")
