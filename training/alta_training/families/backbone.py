"""Backbones: a new model around pretrained towers, for alignment, or a fresh one, for pretraining.

The image tower comes from a masked-record-modelling checkpoint (the published MRM.pth, or what
`pretrain` writes), the text tower from a BERT folder with weights (CXR-BERT) or from the same
checkpoint. Adapters start as zero, so training starts at the backbone itself.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertConfig

from alta_sdk.errors import CheckpointError

from ..adapters import ADAPTERS, PUBLISHED_ADAPTER, Adapter
from ..model import AltaModel
from ..model.names import published_name
from ..model.sizes import DecoderSizes, ImageSizes, ModelSizes, TextSizes
from .checkpoint import Checkpoint, read_checkpoint
from .inferred_sizes import (
    PUBLISHED_DECODER_HEADS,
    count_layers,
    infer_decoder_sizes,
    read_adapter_kind,
    read_heads,
    shape_of,
)

PUBLISHED_HEAD_SIZE = 64
TEXT_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
# What, with adapters, no backbone has and alignment learns, or what a checkpoint without it starts anew.
OPTIONAL = (
    "projection_head",
    "logit_scale",
    "view_embedding",
    "temporal_embedding",
    "missing_token",
    "bert_embed",
    "bert_encoder.cls",
    "decoder",
    "mask_token",
)


@dataclass(frozen=True)
class BackboneOptions:
    """What to put around a backbone's towers.

    adapter: the kind to make; those that the checkpoint has are taken if they are of this kind.
    adapter_share: hidden units of an adapter per unit of its tower's width (published: 192 of 768).
    seed: of what the backbone lacks, so that a run's start depends on its recipe alone.
    fresh_text: the text tower may start fresh, where neither the checkpoint nor the folder has one.
    has_decoder: make a decoder, where the checkpoint has none.
    """

    adapter: str = PUBLISHED_ADAPTER
    adapter_share: float = 0.25
    seed: int = 0
    fresh_text: bool = False
    has_decoder: bool = True


PUBLISHED_START = BackboneOptions()


@dataclass(frozen=True)
class Backbone:
    """A model with pretrained towers, and what was and was not found for it."""

    model: AltaModel
    source: Checkpoint
    loaded: int
    unused: list[str] = field(default_factory=list)


def load_backbone(
    path: Path, text_folder: Path, config: BertConfig, options: BackboneOptions = PUBLISHED_START
) -> Backbone:
    """Build a model around the towers of a checkpoint and of a BERT folder.

    Text weights in the folder (CXR-BERT) come before those in the checkpoint.
    Raises CheckpointError if a tensor of a tower is missing or of another shape, or if neither the
    checkpoint nor the folder has the text tower's weights and none may start fresh.
    """
    checkpoint = read_checkpoint(path)
    read_adapter_kind(checkpoint.metadata)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        model = AltaModel(infer_backbone_sizes(checkpoint, config, options))
        start_fresh(model)
    has_text = _has_text(checkpoint.weights)
    text = _read_text_weights(text_folder, needed=not has_text and not options.fresh_text)
    may_lack = OPTIONAL if has_text or text or not options.fresh_text else (*OPTIONAL, "bert_encoder.")
    given = {**checkpoint.weights, **text}
    own = {published_name(name): tensor for name, tensor in model.state_dict().items()}
    usable = {name: tensor for name, tensor in given.items() if name in own and own[name].shape == tensor.shape}
    optional = (*ADAPTERS[options.adapter].trained_parts, *may_lack)
    lacking = sorted(name for name in own if name not in usable and not any(part in name for part in optional))
    clashing = sorted(name for name in given if name in own and name not in usable)
    if lacking or clashing:
        names = ", ".join((lacking or clashing)[:6])
        kind = "lacks" if lacking else "has tensors of another shape than its towers:"
        raise CheckpointError(f"backbone {path.name} {kind} {names}: give an MRM checkpoint or pretrain's")
    with torch.no_grad():
        for name, tensor in usable.items():
            own[name].copy_(tensor)
    if "bert_encoder.local_projection_head.dense_to_output.weight" not in usable:
        model.text.local_projection_head.load_state_dict(model.text.cls_projection_head.state_dict())
    return Backbone(model, checkpoint, len(usable), sorted(set(given) - set(usable)))


def infer_backbone_sizes(
    checkpoint: Checkpoint, config: BertConfig, options: BackboneOptions = PUBLISHED_START
) -> ModelSizes:
    """Read a backbone's sizes from its tensors; heads from its metadata, else 64 units each."""
    shape = partial(shape_of, checkpoint.weights)
    width, patch_px = shape("patch_embed.proj.weight", 0), shape("patch_embed.proj.weight", 2)
    side = round((shape("pos_embed", 1) - 1) ** 0.5)
    heads = read_heads(checkpoint.metadata, "image_heads") or max(1, width // PUBLISHED_HEAD_SIZE)
    hidden_in, share = ADAPTERS[options.adapter].hidden_in, options.adapter_share
    adapter_widths = partial(_adapter_widths, checkpoint.weights, hidden_in, share=share)
    depth = count_layers(checkpoint.weights, "blocks")
    image = ImageSizes(
        width,
        depth,
        heads,
        shape("blocks.0.mlp.fc1.weight", 0),
        *adapter_widths("blocks.0", width),
        side * patch_px,
        patch_px,
        adapter=options.adapter,
    )
    decoder = infer_decoder_sizes(checkpoint.weights, checkpoint.metadata, heads)
    if decoder is None and options.has_decoder:
        decoder = DecoderSizes(width=width, heads=PUBLISHED_DECODER_HEADS.get(width, heads), mlp_width=4 * width)
    layer = "bert_encoder.bert.encoder.layer.0"
    text = TextSizes(config, *adapter_widths(layer, config.hidden_size), adapter=options.adapter)
    return ModelSizes(image, decoder, text)


def start_fresh(model: AltaModel) -> None:
    """Draw a fresh model's weights as masked autoencoders do: Xavier products, zero biases; adapters add nothing.

    Source: He et al. 2022.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not name.startswith("text.bert"):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    kernel = model.image.patch_embed.proj.weight
    nn.init.xavier_uniform_(kernel.data.view(len(kernel), -1))
    for name, parameter in model.text.bert.named_parameters():
        if "adapter" not in name and name.endswith("weight") and parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.02)
    for module in model.modules():
        if isinstance(module, Adapter):  # last: its layers were drawn above, as every other one was
            module.start()


def _adapter_widths(
    weights: Mapping[str, Tensor], hidden_in: str, block: str, width: int, share: float
) -> tuple[int, int]:
    """Return the hidden units of a block's two adapters: the checkpoint's, if it has any already."""
    names = (f"{block}.attn_adapter.{hidden_in}", f"{block}.mlp_adapter.{hidden_in}")
    attention, mlp = (shape_of(weights, name, 0) if name in weights else max(1, round(width * share)) for name in names)
    return attention, mlp


def _has_text(weights: Mapping[str, Tensor]) -> bool:
    return "bert_encoder.bert.encoder.layer.0.intermediate.dense.weight" in weights


def _read_text_weights(folder: Path, *, needed: bool) -> dict[str, Tensor]:
    for name in TEXT_WEIGHTS:
        if os.path.isfile(folder / name):
            weights = read_checkpoint(folder / name).weights
            return {f"bert_encoder.{key}": tensor for key, tensor in weights.items()}
    if not needed:
        return {}
    raise CheckpointError(
        f"text model {folder.name} has no weights: give a folder with {' or '.join(TEXT_WEIGHTS)}, "
        "or a backbone that pretrain wrote"
    )
