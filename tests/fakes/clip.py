"""CLIP's state dict in its published names, narrow and with random weights, and a short merges file."""

import gzip

import torch
from torch import nn

from alta_sdk.engine.byte_pairs import number_tokens
from alta_training.families import clip_model
from alta_training.families.clip_merges import NAME
from alta_training.families.clip_model import ClipModel, ClipSizes, TransformerSizes
from alta_training.families.pixel_scaling import PixelScaling

MERGES = [("n", "o</w>"), ("e", "d"), ("ed", "e"), ("m", "a</w>"), ("ede", "ma</w>")]
SCALING = PixelScaling([0.0] * 3, [1.0] * 3)
EMBEDDING = 12


def make_clip_weights(patch_px=32, grid=3, width=64, seed=0, context=16):
    """Return a state dict by published names, as wide as one published head."""
    torch.manual_seed(seed)
    sizes = ClipSizes(
        image=TransformerSizes(2 * width, 2, 2, 40),
        text=TransformerSizes(width, 2, 1, 24),
        grid=grid,
        patch_px=patch_px,
        context=context,
        vocabulary=len(number_tokens(MERGES)),
        embedding=EMBEDDING,
    )
    return draw_weights(ClipModel(sizes, SCALING), clip_model.published_name)


def draw_weights(model: nn.Module, published_name):
    """Return random weights of a model by their published names."""
    return {published_name(name): torch.randn_like(tensor) * 0.1 for name, tensor in model.state_dict().items()}


def write_merges(folder, merges=MERGES):
    lines = ['"bpe_simple_vocab_16e6.txt#version: 0.2', *(" ".join(pair) for pair in merges), ""]
    with gzip.open(folder / NAME, "wb") as file:
        file.write("\n".join(lines).encode())
    return folder / NAME
