"""OpenAI's CLIP with a vision transformer, in the names of its state dict: what CheXzero and OpenAI's files hold.

From top to bottom: the block that both towers have, the image tower, the causal text tower, and both in one.
Source: openai/CLIP, `model.py` (MIT), and CheXzero's copy.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .pixel_scaling import PixelScaling


@dataclass(frozen=True)
class TransformerSizes:
    """Sizes of one of the two transformers."""

    width: int
    depth: int
    heads: int
    mlp_width: int


@dataclass(frozen=True)
class ClipSizes:
    """Sizes of a whole model; grid: patches along a side; context: places of the text tower."""

    image: TransformerSizes
    text: TransformerSizes
    grid: int
    patch_px: int
    context: int
    vocabulary: int
    embedding: int


def quick_gelu(x: Tensor) -> Tensor:
    """Return x · sigmoid(1.702 x), which the published models were trained with; not the exact GELU."""
    return x * torch.sigmoid(1.702 * x)


class QuickGelu(nn.Module):
    """The same as a module, which stands in the published blocks."""

    def forward(self, x: Tensor) -> Tensor:
        """Transform any tensor, each number for itself."""
        return quick_gelu(x)


class Attention(nn.Module):
    """Self-attention with one stacked product for query, key and value."""

    def __init__(self, width: int, heads: int) -> None:
        """Make it with fresh weights."""
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, *, causal: bool) -> Tensor:
        """Attend within (n, tokens, width); causal: each token to itself and those before it."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (n, heads, tokens, head size)
            for part in F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, sizes: TransformerSizes) -> None:
        """Make one block of the given sizes."""
        super().__init__()
        self.attn = Attention(sizes.width, sizes.heads)
        self.ln_1 = nn.LayerNorm(sizes.width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(sizes.width, sizes.mlp_width),
                gelu=QuickGelu(),
                c_proj=nn.Linear(sizes.mlp_width, sizes.width),
            )
        )
        self.ln_2 = nn.LayerNorm(sizes.width)

    def forward(self, x: Tensor, *, causal: bool) -> Tensor:
        """Transform tokens (n, tokens, width)."""
        x = x + self.attn(self.ln_1(x), causal=causal)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Transformer(nn.Module):
    """Blocks, one after the other."""

    def __init__(self, sizes: TransformerSizes) -> None:
        """Make as many as the sizes say."""
        super().__init__()
        self.resblocks = nn.ModuleList([Block(sizes) for _ in range(sizes.depth)])

    def forward(self, x: Tensor, *, causal: bool) -> Tensor:
        """Transform tokens (n, tokens, width)."""
        for block in self.resblocks:
            x = block(x, causal=causal)
        return x


class ClipImage(nn.Module):
    """The image tower, on grey pixels; the class token, after its norm, is projected without a bias."""

    def __init__(self, sizes: ClipSizes, scaling: PixelScaling) -> None:
        """Make a tower with fresh weights (a checkpoint replaces them)."""
        super().__init__()
        width = sizes.image.width
        self.sizes = sizes
        self.scaling = scaling
        self.conv1 = nn.Conv2d(3, width, sizes.patch_px, stride=sizes.patch_px, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(sizes.grid**2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(sizes.image)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, sizes.embedding))

    def static(self, grey_u8: Tensor) -> Tensor:
        """Return the class token (n, width) after its norm, of radiographs (n, 1, px, px) uint8."""
        patches = self.conv1(self.scaling(grey_u8)).flatten(2).transpose(1, 2)  # (n, patches, width)
        first = self.class_embedding.expand(patches.shape[0], 1, -1)
        x = torch.cat([first, patches], dim=1) + self.positional_embedding
        x = self.transformer(self.ln_pre(x), causal=False)
        token: Tensor = self.ln_post(x[:, 0])
        return token

    def project(self, token: Tensor) -> Tensor:
        """Return the projections (n, embedding) of class tokens, not of unit length."""
        return token @ self.proj

    def forward(self, grey_u8: Tensor) -> Tensor:
        """Return the projections (n, embedding) of radiographs (n, 1, px, px) uint8."""
        return self.project(self.static(grey_u8))


class ClipText(nn.Module):
    """The causal text tower; what follows the end token is never looked at."""

    def __init__(self, sizes: ClipSizes) -> None:
        """Make a tower with fresh weights (a checkpoint replaces them)."""
        super().__init__()
        width = sizes.text.width
        self.sizes = sizes
        self.token_embedding = nn.Embedding(sizes.vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.zeros(sizes.context, width))
        self.transformer = Transformer(sizes.text)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, sizes.embedding))

    def encode(self, input_ids: Tensor) -> Tensor:
        """Encode tokens (n, length) int64, length at most the context, to (n, length, width) after the final norm."""
        x = self.token_embedding(input_ids) + self.positional_embedding[: input_ids.shape[1]]
        hidden: Tensor = self.ln_final(self.transformer(x, causal=True))
        return hidden

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the projections (n, embedding) of prompts, not of unit length.

        attention_mask: of no use here, since no token sees a later one; the end token has the highest id.
        """
        hidden = self.encode(input_ids)
        end = input_ids.argmax(dim=-1)[:, None, None].expand(-1, 1, hidden.shape[-1])  # (n, 1, width)
        return hidden.gather(1, end)[:, 0] @ self.text_projection


class ClipModel(nn.Module):
    """Both towers and the learned temperature."""

    def __init__(self, sizes: ClipSizes, scaling: PixelScaling) -> None:
        """Make a model with fresh weights (a checkpoint replaces them)."""
        super().__init__()
        self.visual = ClipImage(sizes, scaling)
        self.text = ClipText(sizes)
        self.logit_scale = nn.Parameter(torch.zeros(()))


def published_name(name: str) -> str:
    """Return the published name of one of our parameters: the text tower's stand at the top."""
    return name.removeprefix("text.")
