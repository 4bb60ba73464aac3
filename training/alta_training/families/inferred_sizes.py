"""The sizes of the model that a checkpoint holds: its tensors tell all of them but the heads.

What a file says of itself is text of strangers: a number in it is checked before it is used, and a name of a tensor
must not make a model of a billion layers.
"""

import math
import re
from collections.abc import Mapping
from functools import partial

from torch import Tensor
from transformers import BertConfig

from alta_sdk.errors import CheckpointError

from ..adapters import ADAPTERS, PUBLISHED_ADAPTER
from ..model.sizes import DecoderSizes, ImageSizes, ModelSizes, TextSizes

# No tensor tells the decoder's heads: 6 at the published width, where the tower has 12.
PUBLISHED_DECODER_HEADS = {768: 6}
MAX_HEADS = 1024
MAX_LAYERS = 1000

Weights = Mapping[str, Tensor]  # by published name
Stated = Mapping[str, str]  # a file's metadata


def infer_sizes(
    weights: Weights, stated: Stated, config: BertConfig, image_heads: int | None = None, *, decodes: bool = True
) -> ModelSizes:
    """Read every size from the tensors; heads from the metadata, `image_heads` or the text model.

    Raises CheckpointError if a tensor that tells a size is missing, or if sizes or words contradict each other.
    """
    shape = partial(shape_of, weights)
    kind = read_adapter_kind(stated)
    text = _text_sizes(weights, config, kind)
    width = shape("patch_embed.proj.weight", 0)
    patches = shape("pos_embed", 1) - 1
    patch_px = shape("patch_embed.proj.weight", 2)
    _check_width(width, "image tower")
    own = read_heads(stated, "image_heads")
    if image_heads and own and image_heads != own:
        raise CheckpointError(f"checkpoint states {own} image heads, not {image_heads}: leave --image-heads out")
    heads = image_heads or own or max(1, width // (config.hidden_size // config.num_attention_heads))
    if width % heads:
        raise CheckpointError(f"{heads} heads do not divide the image tower's width {width}: give --image-heads")
    if patches < 1 or math.isqrt(patches) ** 2 != patches:
        raise CheckpointError("checkpoint's pos_embed is not of a square of patches: it is not an ALTA checkpoint")
    image = ImageSizes(
        width=width,
        depth=count_layers(weights, "blocks"),
        heads=heads,
        mlp_width=shape("blocks.0.mlp.fc1.weight", 0),
        attention_adapter_width=shape(f"blocks.0.attn_adapter.{ADAPTERS[kind].hidden_in}", 0),
        mlp_adapter_width=shape(f"blocks.0.mlp_adapter.{ADAPTERS[kind].hidden_in}", 0),
        image_px=math.isqrt(patches) * patch_px,
        patch_px=patch_px,
        embedding=shape("projection_head.dense_to_output.weight", 0),
        adapter=kind,
    )
    return ModelSizes(image, infer_decoder_sizes(weights, stated, heads, decodes=decodes), text)


def infer_decoder_sizes(
    weights: Weights, stated: Stated, image_heads: int, *, decodes: bool = True
) -> DecoderSizes | None:
    """Read the decoder's sizes from its tensors; a checkpoint without any has no decoder, and gives None.

    Its heads are the metadata's, else those of the published width, else the image tower's.
    decodes: False for who never runs it: then it has one head where none of these fits.
    Raises CheckpointError if heads are needed and none of these divides the decoder's width.
    """
    if not any(name.startswith(("decoder_", "mask_token")) for name in weights):
        return None
    width = shape_of(weights, "decoder_embed.weight", 0)
    _check_width(width, "decoder")
    own = read_heads(stated, "decoder_heads")
    heads = own or PUBLISHED_DECODER_HEADS.get(width, image_heads)
    if width % heads and own:
        raise CheckpointError(f"checkpoint states {own} decoder heads, which do not divide the decoder's width {width}")
    if width % heads and decodes:
        raise CheckpointError(
            f"checkpoint does not state the heads of its decoder, and {heads} do not divide its width {width}: store "
            "it as .safetensors with decoder_heads in its metadata, or without a decoder"
        )
    heads = 1 if width % heads else heads
    return DecoderSizes(
        width=width,
        depth=count_layers(weights, "decoder_blocks"),
        heads=heads,
        mlp_width=shape_of(weights, "decoder_blocks.0.mlp.fc1.weight", 0),
    )


def _check_width(width: int, part: str) -> None:
    """Raise CheckpointError for a width that the sine-cosine position embedding cannot have."""
    if width % 4:
        raise CheckpointError(f"checkpoint's {part} has width {width}, no multiple of 4: it is not an ALTA checkpoint")


def read_heads(stated: Stated, key: str) -> int | None:
    """Return the attention heads that a checkpoint states under a key, None if it does not.

    Raises CheckpointError for a statement that is no number of heads.
    """
    word = stated.get(key)
    if word is None:
        return None
    if not re.fullmatch("[0-9]{1,4}", word) or not 1 <= int(word) <= MAX_HEADS:
        raise CheckpointError(f"checkpoint's metadata is damaged: {key} is not a number from 1 to {MAX_HEADS}")
    return int(word)


def read_adapter_kind(stated: Stated) -> str:
    """Return the kind of a checkpoint's adapters, the published one if it does not say.

    Raises CheckpointError for a kind that is not known.
    """
    kind = stated.get("adapter", PUBLISHED_ADAPTER)
    if kind not in ADAPTERS:
        raise CheckpointError(f"checkpoint has adapters of a kind that is not known; known: {', '.join(ADAPTERS)}")
    return kind


def _text_sizes(weights: Weights, config: BertConfig, kind: str) -> TextSizes:
    prefix = "bert_encoder.bert"
    shape = partial(shape_of, weights)
    told = {
        "vocab_size": shape(f"{prefix}.embeddings.word_embeddings.weight", 0),
        "hidden_size": shape(f"{prefix}.embeddings.word_embeddings.weight", 1),
        "max_position_embeddings": shape(f"{prefix}.embeddings.position_embeddings.weight", 0),
        "type_vocab_size": shape(f"{prefix}.embeddings.token_type_embeddings.weight", 0),
        "num_hidden_layers": count_layers(weights, f"{prefix}.encoder.layer"),
        "intermediate_size": shape(f"{prefix}.encoder.layer.0.intermediate.dense.weight", 0),
    }
    different = [name for name, value in told.items() if getattr(config, name, None) != value]
    if different:
        raise CheckpointError(
            f"text model's config.json contradicts the checkpoint in {', '.join(different)}: "
            "give the text-model folder that the checkpoint was trained with"
        )
    layer = f"{prefix}.encoder.layer.0"
    return TextSizes(
        config=config,
        attention_adapter_width=shape(f"{layer}.attn_adapter.{ADAPTERS[kind].hidden_in}", 0),
        mlp_adapter_width=shape(f"{layer}.mlp_adapter.{ADAPTERS[kind].hidden_in}", 0),
        embedding=shape("bert_encoder.cls_projection_head.dense_to_output.weight", 0),
        adapter=kind,
    )


def shape_of(weights: Weights, name: str, axis: int) -> int:
    """Return one side of a tensor; raise CheckpointError if it is not there or empty."""
    tensor = weights.get(name)
    if tensor is None or tensor.ndim <= axis or not tensor.numel():
        raise CheckpointError(f"checkpoint is not an ALTA checkpoint, or not a whole one: missing {name}")
    return int(tensor.shape[axis])


def count_layers(weights: Weights, prefix: str) -> int:
    """Count the numbered parts under a prefix; raise CheckpointError if there is none, or one of an absurd number."""
    pattern = re.compile(rf"{re.escape(prefix)}\.([0-9]+)\.")
    numbers = {match[1] for name in weights if (match := pattern.match(name))}
    if not numbers:
        raise CheckpointError(f"checkpoint is not an ALTA checkpoint, or not a whole one: missing {prefix}.0")
    if max(map(len, numbers)) > len(str(MAX_LAYERS)) or max(map(int, numbers)) >= MAX_LAYERS:
        raise CheckpointError(f"checkpoint has a part of {prefix} numbered {MAX_LAYERS} or more: it is damaged")
    return max(map(int, numbers)) + 1
