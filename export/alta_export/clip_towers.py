"""Merged towers of the CLIP families: a vision transformer on grey pixels, and CLIP's causal text transformer.

Both are made of one plain block; what differs between the families is given as parts. Shapes: n radiographs or
prompts, t tokens, w width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alta_training.families.clip_model import Block as ClipBlock
from alta_training.families.clip_model import ClipText, quick_gelu
from alta_training.families.pixel_scaling import PixelScaling

from .affine import Affine
from .merge import PatchEmbedding, fold_channel_scaling, split_attention, thirds
from .towers import MASKED, LastAttention, MergedAttention, without_bias


@dataclass(frozen=True, eq=False)
class BlockParts:
    """A pre-norm block; query_key_value: (3w, w)."""

    norm1: nn.LayerNorm
    query_key_value: Affine
    projection: Affine
    norm2: nn.LayerNorm
    fc1: nn.Linear
    fc2: nn.Linear
    activation: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class VisionParts:
    """A vision transformer. position: (1 + patches, w), the class token's first; norm_pre: before the blocks."""

    conv: nn.Conv2d
    scaling: PixelScaling
    class_token: Tensor
    position: Tensor
    norm_pre: nn.LayerNorm | None
    blocks: Sequence[BlockParts]
    norm: nn.LayerNorm
    heads: int


def take_clip_block(block: ClipBlock) -> BlockParts:
    """Return the parts of one of CLIP's blocks."""
    attention, mlp = block.attn, block.mlp
    fc1, fc2 = mlp.c_fc, mlp.c_proj
    assert isinstance(fc1, nn.Linear) and isinstance(fc2, nn.Linear)
    query_key_value = Affine(attention.in_proj_weight.detach().double(), attention.in_proj_bias.detach().double())
    projection = Affine.of(attention.out_proj)
    return BlockParts(block.ln_1, query_key_value, projection, block.ln_2, fc1, fc2, quick_gelu)


def take_timm_block(block: Any) -> BlockParts:
    """Return the parts of one of timm's blocks."""
    attention, mlp = block.attn, block.mlp
    return BlockParts(
        block.norm1, Affine.of(attention.qkv), Affine.of(attention.proj), block.norm2, mlp.fc1, mlp.fc2, F.gelu
    )


class PlainBlock(nn.Module):
    """A pre-norm block with its attention merged; the last one of an image tower gives the class token alone."""

    def __init__(self, parts: BlockParts, heads: int, *, is_last: bool = False) -> None:
        """Merge one block."""
        super().__init__()
        maps = split_attention(thirds(parts.query_key_value), parts.projection, heads)
        self.is_last = is_last
        self.norm1, self.norm2, self.fc1, self.fc2 = parts.norm1, parts.norm2, parts.fc1, parts.fc2
        self.attention = LastAttention(maps, heads) if is_last else MergedAttention(maps, heads)
        self.projection = maps.projection.to_linear()
        self.activation = parts.activation

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform tokens (n, t, w) to (n, t, w), the last block to (n, 1, w); the mask is added to the logits."""
        normed = self.norm1(x)
        attended = self.attention(normed) if mask is None else self.attention(normed, mask)
        x = (x[:, :1] if self.is_last else x) + self.projection(attended)
        out: Tensor = x + self.fc2(self.activation(self.fc1(self.norm2(x))))
        return out


class MergedVision(nn.Module):
    """A vision transformer on raw grey pixels, as far as the class token that the head reads."""

    def __init__(self, parts: VisionParts) -> None:
        """Merge an image tower."""
        super().__init__()
        patches = fold_scaling(parts.conv, parts.scaling)
        size = (parts.conv.kernel_size[0], parts.conv.kernel_size[1])
        self.patch = nn.Conv2d(1, parts.conv.out_channels, size, size, bias=False)
        self.patch.weight.data = patches.kernel.float()
        position = parts.position.detach().double()
        self.class_token = nn.Parameter((parts.class_token.detach().double().flatten() + position[0]).float()[None])
        self.position = nn.Parameter((position[1:] + patches.bias).float())
        self.resize = None
        if parts.scaling.resize is not None:
            # Of three axes, so that it is no product with a weight: it is never rounded to a lower precision.
            self.resize = nn.Parameter(parts.scaling.resize.float()[None])  # (1, px, read_px)
        self.norm_pre, self.norm = parts.norm_pre, parts.norm
        last = len(parts.blocks)
        self.blocks = nn.ModuleList(
            [PlainBlock(block, parts.heads, is_last=number == last) for number, block in enumerate(parts.blocks, 1)]
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pixels (n, 1, px, px) uint8 to the class token after its norm, (n, w)."""
        grey = pixels.float()
        if self.resize is not None:
            grey = self.resize @ grey @ self.resize.transpose(1, 2)
        x = self.patch(grey).flatten(2).transpose(1, 2) + self.position  # (n, patches, w)
        x = torch.cat([self.class_token.expand(x.shape[0], 1, -1), x], dim=1)
        if self.norm_pre is not None:
            x = self.norm_pre(x)
        for block in self.blocks:
            x = block(x)
        token: Tensor = self.norm(x)[:, 0]
        return token


def fold_scaling(conv: nn.Conv2d, scaling: PixelScaling) -> PatchEmbedding:
    """Return the patch product on raw grey values, resized where the tower resizes: that is before the scaling."""
    bias = None if conv.bias is None else conv.bias.detach()
    return fold_channel_scaling(conv.weight.detach(), bias, scaling.mean, scaling.std)


class MergedClipText(nn.Module):
    """CLIP's causal text tower, from token ids to the projection of the end token."""

    causal: Tensor

    def __init__(self, tower: ClipText) -> None:
        """Merge a text tower."""
        super().__init__()
        self.words, self.norm = tower.token_embedding, tower.ln_final
        self.position = tower.positional_embedding
        context = len(self.position)
        self.register_buffer("causal", torch.full((context, context), MASKED).triu(1))
        heads = tower.sizes.text.heads
        blocks = (block for block in tower.transformer.resblocks if isinstance(block, ClipBlock))
        self.blocks = nn.ModuleList([PlainBlock(take_clip_block(block), heads) for block in blocks])
        self.projection = without_bias(tower.text_projection.detach().T)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Encode tokens (n, t) int64 to projections (n, embedding); the end token has the highest id."""
        length = input_ids.shape[1]
        x = self.words(input_ids) + self.position[:length]
        mask = self.causal[:length, :length]
        for block in self.blocks:
            x = block(x, mask)
        end = input_ids.argmax(dim=-1)[:, None, None].expand(-1, 1, x.shape[-1])  # (n, 1, w)
        projection: Tensor = self.projection(self.norm(x.gather(1, end)[:, 0]))
        return projection
