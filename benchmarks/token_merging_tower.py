"""The merged image tower with token merging: what two tokens say alike goes on as one, so that later blocks have less
to do. No training.

Between attention and MLP the patches' tokens fall into two sets, every second one. Each of the first looks for its
nearest in the second, by the cosine of their keys, in the mean over the heads; the `count` nearest pairs become their
mean, by the number of patches that each stands for. Attention adds the logarithm of that number to its logits, as if
each patch were there still. CLS is merged with nothing. The order of the tokens does not matter to what follows: their
positions were added before the first block.

What is chosen is written as products with matrices of 0 and 1, which every runtime computes, and fast.

Source: Bolya et al., Token Merging: Your ViT But Faster, ICLR 2023, https://arxiv.org/abs/2210.09461.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alta_export.towers import MergedAttention, MergedBlock, MergedImageTower


@dataclass(frozen=True, eq=False)
class Merging:
    """Which tokens become one. stays: (n, first - count, first), goes: (n, second, first), both of 0 and 1."""

    stays: Tensor
    goes: Tensor

    def add_up(self, values: Tensor) -> Tensor:
        """Add up the values (n, t, c) of tokens that become one: (n, t - count, c), CLS first."""
        first, second = values[:, 1::2], values[:, 2::2]
        return torch.cat([values[:, :1], self.stays @ first, second + self.goes @ first], dim=1)


def find_merging(key: Tensor, count: int) -> Merging:
    """Choose by the tokens' keys (n, t, c) which `count` of the first set are merged with one of the second."""
    unit = F.normalize(key, dim=-1)
    first, second = unit[:, 1::2], unit[:, 2::2]
    likeness, nearest = (first @ second.transpose(1, 2)).max(dim=-1)  # (n, first)
    order = likeness.topk(first.shape[1], dim=-1).indices
    picked = (order[:, :, None] == torch.arange(first.shape[1])).float()  # (n, first, first), the likest first
    onto = (nearest[:, None] == torch.arange(second.shape[1])[:, None]).float()  # (n, second, first)
    going = picked[:, :count].sum(dim=1)  # (n, first): 1 of those that go
    return Merging(picked[:, count:], onto * going[:, None])


def attend(attention: MergedAttention, x: Tensor, size: Tensor | None) -> tuple[Tensor, Tensor]:
    """Attend from all tokens (n, t, w) to all, by their sizes (n, t, 1); return (n, t, w), and the heads' mean key."""
    q, k, v = (
        product(x).unflatten(-1, (attention.heads, -1)).transpose(1, 2)  # (n, h, t, w/h)
        for product in (attention.query, attention.key, attention.value)
    )
    logits = q @ k.transpose(-1, -2)  # (n, h, t, t)
    if size is not None:
        logits = logits + size.log().transpose(1, 2)[:, None]
    return (logits.softmax(dim=-1) @ v).transpose(1, 2).flatten(2), k.mean(dim=1)


class MergingTower(nn.Module):
    """A merged image tower that merges `count` tokens in every block but the last; 0 is the tower as it is."""

    def __init__(self, tower: MergedImageTower, count: int) -> None:
        """Take the parts of a merged tower."""
        super().__init__()
        self.count, self.embed, self.norm = count, tower.embed, tower.norm
        self.blocks = tower.blocks
        self.tower = tower

    def forward(self, pixels: Tensor, slot: Tensor) -> Tensor:
        """Encode pixels (n, 1, px, px) uint8 in slots (n,) int64 to CLS (n, w)."""
        return self.encode(pixels, slot)[0]

    def encode(self, pixels: Tensor, slot: Tensor, *, trace: bool = False) -> tuple[Tensor, Tensor]:
        """Return CLS (n, w) and the tokens that enter the last block: (n, t, w) with trace, each where it was."""
        x = self.embed(pixels, slot)
        size, whence = None, torch.eye(x.shape[1]).expand(len(x), -1, -1) if trace else None
        for block in cast("list[MergedBlock]", list(self.blocks)[:-1]):
            attended, key = attend(cast(MergedAttention, block.attention), block.norm1(x), size)
            x = block.add_attended(x, attended)
            if self.count:
                merging = find_merging(key, self.count)
                size = torch.ones_like(x[..., :1]) if size is None else size
                total = merging.add_up(size)
                x, size = merging.add_up(x * size) / total, total
                whence = None if whence is None else merging.add_up(whence)
            x = block.add_mlp(x)
        last = cast(MergedBlock, self.blocks[-1])
        mask = None if size is None else size.log().transpose(1, 2)
        cls = self.norm(last.add_mlp(last.add_attended(x[:, :1], last.attention(last.norm1(x), mask))))[:, 0]
        return cls, x if whence is None else whence.transpose(1, 2) @ x
