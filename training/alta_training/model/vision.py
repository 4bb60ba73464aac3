"""The image tower: a vision transformer with adapters, reading one radiograph per slot.

From top to bottom as the data flows: patches, position and slot, blocks, heads.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..adapters import ADAPTER_SCALE, ADAPTERS
from . import torchvision_ops  # noqa: F401  timm imports torchvision
from .heads import ProjectionHead
from .sizes import ImageSizes

from timm.layers import Mlp, PatchEmbed  # isort: skip
from timm.models.vision_transformer import Attention  # isort: skip

SLOTS = 4
NORM_EPS = 1e-6


class AdapterBlock(nn.Module):
    """A pre-norm transformer block: attention with a sequential adapter, MLP with a parallel one."""

    def __init__(self, sizes: ImageSizes) -> None:
        """Make one block of the given sizes."""
        super().__init__()
        make_adapter = ADAPTERS[sizes.adapter]
        self.norm1 = nn.LayerNorm(sizes.width, eps=NORM_EPS)
        self.attn = Attention(sizes.width, num_heads=sizes.heads, qkv_bias=True)
        self.attn_adapter = make_adapter(sizes.width, sizes.attention_adapter_width)
        self.norm2 = nn.LayerNorm(sizes.width, eps=NORM_EPS)
        self.mlp = Mlp(sizes.width, sizes.mlp_width)
        self.mlp_adapter = make_adapter(sizes.width, sizes.mlp_adapter_width)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens (n, tokens, width)."""
        attended = self.attn(self.norm1(x))
        x = x + attended + self.attn_adapter(attended)
        normed = self.norm2(x)
        out: Tensor = x + self.mlp(normed) + ADAPTER_SCALE * self.mlp_adapter(normed)
        return out

    def read_cls(self, x: Tensor) -> Tensor:
        """Transform tokens (n, tokens, width) and give CLS alone, (n, 1, width): the others are only looked at."""
        normed = self.norm1(x)
        attn, heads = self.attn, self.attn.num_heads
        weights, biases = attn.qkv.weight.chunk(3), attn.qkv.bias.chunk(3)
        query, key, value = (
            F.linear(part, weight, bias).unflatten(-1, (heads, -1)).transpose(1, 2)  # (n, heads, tokens, head size)
            for part, weight, bias in zip((normed[:, :1], normed, normed), weights, biases, strict=True)
        )
        attended = attn.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        cls = x[:, :1] + attended + self.attn_adapter(attended)
        normed = self.norm2(cls)
        out: Tensor = cls + self.mlp(normed) + ADAPTER_SCALE * self.mlp_adapter(normed)
        return out


class ImageTower(nn.Module):
    """Encodes radiographs; each is told its slot by a view and a temporal embedding."""

    def __init__(self, sizes: ImageSizes) -> None:
        """Make a tower with fresh weights (a checkpoint replaces them)."""
        super().__init__()
        self.sizes = sizes
        width, patches = sizes.width, sizes.patches
        self.patch_embed = PatchEmbed(sizes.image_px, sizes.patch_px, 3, width)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        # float16 in published files; float32 here, so that no step computes in half precision
        self.missing_token = nn.Parameter(torch.zeros(1, patches, width))
        self.pos_embed = nn.Parameter(sincos_position_embedding(width, patches))
        self.view_embedding = nn.Parameter(torch.zeros(1, 2, width))
        self.temporal_embedding = nn.Parameter(torch.zeros(1, 2, width))
        self.blocks = nn.ModuleList([AdapterBlock(sizes) for _ in range(sizes.depth)])
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.projection_head = ProjectionHead(width, sizes.embedding)
        self.local_projection_head = ProjectionHead(width, sizes.embedding)

    def forward(
        self, pixels: Tensor, slot: Tensor, missing: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Encode radiographs.

        pixels: (n, 3, image_px, image_px) float, scaled by `to_model_input`.
        slot: (n,) int64 in 0..3: current frontal, current lateral, prior frontal, prior lateral.
        missing: (n,) bool; these rows get the missing token in the place of every patch.
        keep: (n, kept) int64, the patches that a masked pass sees, in this order; None sees all.
        Returns tokens (n, 1 + patches, width) after the final norm, CLS first.
        Source: `forward_img_feature` and `forward_encoder` of the published code.
        """
        return self.read_tokens(self.embed_patches(pixels, slot, missing, keep), 0)

    def embed_patches(
        self, pixels: Tensor, slot: Tensor, missing: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Return what the first block reads: tokens (n, 1 + patches, width); arguments as of `forward`."""
        x = self.patch_embed(pixels)  # (n, patches, width)
        if missing is not None:
            x = torch.where(missing[:, None, None], self.missing_token, x)
        x = x + self.pos_embed[:, 1:]
        if keep is not None:
            x = torch.gather(x, 1, keep[:, :, None].expand(-1, -1, x.shape[-1]))  # (n, kept, width)
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1)
        return torch.cat([cls, x], dim=1) + self.slot_embedding()[slot][:, None]

    def read_tokens(self, x: Tensor, first: int, *, cls_alone: bool = False) -> Tensor:
        """Go on from the tokens before block `first`, (n, tokens, width), to those after the final norm.

        cls_alone: the last block is run for CLS alone, and (n, 1, width) returned.
        """
        for block in self.blocks[first:-1]:
            x = block(x)
        if first < len(self.blocks):
            last = cast(AdapterBlock, self.blocks[-1])
            x = last.read_cls(x) if cls_alone else last(x)
        tokens: Tensor = self.norm(x[:, :1] if cls_alone else x)
        return tokens

    def slot_embedding(self) -> Tensor:
        """Return what each slot adds to its tokens: (4, width), view plus time."""
        views = self.view_embedding[0].repeat(2, 1)  # frontal, lateral, frontal, lateral
        times = self.temporal_embedding[0].repeat_interleave(2, 0)  # current, current, prior, prior
        return views + times

    def encode_studies(self, pixels: Tensor, missing: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode the four slots of studies, as in training.

        pixels: (studies, 4, 3, image_px, image_px); missing: (studies, 4) bool; keep: (studies, 4, kept).
        Returns the CLS of each slot (studies, 4, width) and the patch tokens of each slot
        (studies, 4, patches, width).
        """
        studies = pixels.shape[0]
        slot = torch.arange(SLOTS, device=pixels.device).repeat(studies)
        tokens = self(
            pixels.flatten(0, 1), slot, missing.flatten(), None if keep is None else keep.flatten(0, 1)
        ).unflatten(0, (studies, SLOTS))  # (studies, 4, tokens, width)
        return tokens[:, :, 0], tokens[:, :, 1:]


def sincos_position_embedding(width: int, patches: int) -> Tensor:
    """Return the fixed two-dimensional sine-cosine position embedding (1, 1 + patches, width), CLS first.

    Source: He et al. 2022 (masked autoencoders), which MRM and ALTA follow.
    """
    side = round(patches**0.5)
    frequencies = 1.0 / 10000 ** (torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = [position.flatten()[:, None] * frequencies for position in (columns, rows)]
    table = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)
    return torch.cat([torch.zeros(1, width), table.float()])[None]
