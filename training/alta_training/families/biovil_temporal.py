"""BioViL-T's temporal block: what a radiograph's features become beside those of its prior.

From top to bottom as the data flows: tokens of both, where and when they are, three blocks, the current half.
What is peculiar: position and time are added to what attention reads, in every block and for the values, too, and
never to the tokens themselves.
Source: Bannur et al., CVPR 2023, section 3.1; hi-ml-multimodal's vit_pooler.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..model import torchvision_ops  # noqa: F401  timm imports torchvision

from timm.layers import Mlp  # isort: skip

DEPTH, HEADS = 3, 8  # no tensor tells the heads
NORM_EPS = 1e-6
LONGEST_WAVE = 10_000.0


class TemporalAttention(nn.Module):
    """Attention whose query, key and value products are apart and have no bias."""

    def __init__(self, width: int) -> None:
        """Make it with fresh weights."""
        super().__init__()
        self.proj_q, self.proj_k, self.proj_v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.proj = nn.Linear(width, width)

    def forward(self, y: Tensor) -> Tensor:
        """Attend from all tokens to all: (n, tokens, width)."""
        query, key, value = (
            product(y).unflatten(-1, (HEADS, -1)).transpose(1, 2)  # (n, heads, tokens, head size)
            for product in (self.proj_q, self.proj_k, self.proj_v)
        )
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        out: Tensor = self.proj(attended)
        return out


class TemporalLayer(nn.Module):
    """A pre-norm transformer block whose attention reads where and when a token is."""

    def __init__(self, width: int, mlp_width: int) -> None:
        """Make it with fresh weights."""
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = TemporalAttention(width)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width, mlp_width)  # exact GELU

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        """Transform tokens (n, tokens, width); place: (1, tokens, width)."""
        x = x + self.attn(self.norm1(x) + place)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class TemporalBlock(nn.Module):
    """The whole block; names as in the published vit_pooler, whose positions are not in the file."""

    def __init__(self, width: int, mlp_width: int, side: int) -> None:
        """Make it with fresh weights for features of side × side places."""
        super().__init__()
        self.type_embed = nn.Parameter(torch.zeros(2, 1, width))  # of the current, of the prior
        self.blocks = nn.ModuleList([TemporalLayer(width, mlp_width) for _ in range(DEPTH)])
        self.norm_post = nn.LayerNorm(width, eps=NORM_EPS)
        self.register_buffer("position", sine_positions(side, width), persistent=False)
        self.position: Tensor

    def forward(self, current: Tensor, prior: Tensor) -> Tensor:
        """Compare static features, both (n, width, side, side), the prior's second: to the current's new features.

        Returns (n, width, side, side).
        """
        tokens = [features.flatten(2).transpose(1, 2) for features in (current, prior)]  # (n, places, width)
        x, place = torch.cat(tokens, dim=1), self.place()
        for block in self.blocks:
            x = block(x, place)
        difference = self.norm_post(x)[:, : self.position.shape[0]]
        return difference.transpose(1, 2).unflatten(2, current.shape[2:])

    def place(self) -> Tensor:
        """Return what attention reads beside every token: (1, 2 · places, width), the current's half first."""
        return torch.cat([self.position + kind for kind in self.type_embed])[None]


def sine_positions(side: int, width: int) -> Tensor:
    """Return the position of each place, row by row: (side², width), half of it the row's, half the column's.

    Counted from 1 and scaled to one turn, sine and cosine of falling frequencies interleaved.
    Source: Carion et al. 2020 (DETR), which BioViL-T follows.
    """
    half = width // 2
    turn = torch.arange(1, side + 1, dtype=torch.float64) / (side + 1e-6) * 2 * math.pi
    waves = LONGEST_WAVE ** (2 * (torch.arange(half) // 2).double() / half)
    angles = turn[:, None] / waves  # (side, half)
    sines = torch.where(torch.arange(half) % 2 == 0, angles.sin(), angles.cos())
    rows = sines[:, None].expand(side, side, half)
    return torch.cat([rows, rows.transpose(0, 1)], dim=2).flatten(0, 1).float()
