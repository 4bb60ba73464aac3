"""Matching words with patches tile by tile, with a backward pass of its own.

Between similarity and match lie arrays of studies × patches × reports × words: at the published batch
3.7 GB each. A tile is some studies with some reports, small enough that its arrays stay in a
processor's cache (on a GPU: in a bounded share of its memory). Of a small batch the tiles are kept for the
backward pass, which needs six products then; of a large one nothing, and the backward pass computes them
again, by eight. All gradients come by formula, which needs fewer passes over the arrays than recorded
operations do.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .products import add_product, check_products, multiply

# Elements of a tile's largest array, 4 bytes each. On a CPU about three such arrays fit a shared cache.
CPU_ELEMENTS = 2**20
GPU_ELEMENTS = 2**25
# On a CPU: what the words of a tile may come to with padding, unless they are few; a GPU has time for padding.
MOST_PADDING = 1.1
FEW_WORDS = 256
# On a CPU: elements of all arrays that a step may keep for its backward pass, 4 bytes each.
KEPT_ELEMENTS = 2**28
MIN_LENGTH = 1e-8


@dataclass(frozen=True)
class Tile:
    """Studies (a slice) with reports (row numbers), of which the longest has `longest` words."""

    studies: slice
    reports: list[int]
    longest: int
    is_padded: bool


@dataclass(frozen=True)
class Matched:
    """One tile computed, for s studies of p patches and w = reports · longest words.

    share, attention: (s, p, w); collected: (s, w, embedding); cosine: (s, w); word_match: (s, reports,
    longest), -inf for padding.
    """

    share: Tensor
    attention: Tensor
    collected: Tensor
    cosine: Tensor
    word_match: Tensor


class MatchWords(torch.autograd.Function):
    """How well each report's words match each study: (studies, reports). Differentiable once."""

    @staticmethod
    def forward(
        ctx: Any,
        patches: Tensor,
        words: Tensor,
        word_mask: Tensor,
        patch_scale: Tensor,
        word_scale: Tensor,
        patch_mask: Tensor | None,
        products: str,
    ) -> Tensor:
        """Match every tile; arguments as `match_words`."""
        check_products(products, patches.device)
        ctx.products = products
        ctx.save_for_backward(patches, words, word_mask, patch_scale, word_scale, patch_mask)
        result = patches.new_empty(len(patches), len(words))
        scales = patch_scale.item(), word_scale.item()
        tiles = plan_tiles(patches, word_mask)
        ctx.kept = [] if is_kept(tiles, patches) else None
        arrays = _allocate(tiles, patches, 2) if ctx.kept is None else None
        for tile in tiles:
            given = _cut(tile, patches, words, word_mask, patch_mask)
            own = _allocate([tile], patches, 2) if arrays is None else arrays
            matched = _match_tile(*given, *scales, own, products)
            result[tile.studies, tile.reports] = matched.word_match.logsumexp(dim=-1)
            if ctx.kept is not None:
                ctx.kept.append(matched)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of patches, words and both scales."""
        patches, words, word_mask, patch_scale, word_scale, patch_mask = ctx.saved_tensors
        of_patches, of_words = torch.zeros_like(patches), torch.zeros_like(words)
        of_scales = torch.zeros(2, dtype=patches.dtype, device=patches.device)
        scales = patch_scale.item(), word_scale.item()
        tiles = plan_tiles(patches, word_mask)
        arrays = _allocate(tiles, patches, 3 if ctx.kept is None else 1)
        for number, tile in enumerate(tiles):
            given = _cut(tile, patches, words, word_mask, patch_mask)
            matched = _match_tile(*given, *scales, arrays, ctx.products) if ctx.kept is None else ctx.kept[number]
            own = grad[tile.studies][:, tile.reports]
            parts = _differentiate_tile(matched, given[0], given[1], own, *scales, arrays[-1], ctx.products)
            of_patches[tile.studies] += parts[0]
            of_words[tile.reports, : tile.longest] += parts[1]
            of_scales += parts[2]
        return of_patches, of_words, None, of_scales[0], of_scales[1], None, None


def plan_tiles(patches: Tensor, word_mask: Tensor) -> list[Tile]:
    """Cut all pairs of studies (n, patches, …) and reports (n, length) into tiles within the bound.

    Reports of like length go together, so that little is padding: a batch that fits one tile may be several.
    """
    on_cpu = patches.device.type == "cpu"
    bound = CPU_ELEMENTS if on_cpu else GPU_ELEMENTS
    studies, per_study = patches.shape[:2]
    lengths = word_mask.sum(dim=1).tolist()
    chunks: list[list[int]] = []
    real = 0  # words of the last chunk, without padding
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):  # ascending: this is its chunk's longest
        padded = (len(chunks[-1]) + 1) * max(lengths[row], 1) if chunks else 0
        is_tight = not on_cpu or real < FEW_WORDS or padded <= MOST_PADDING * (real + lengths[row])
        if chunks and padded * per_study <= bound and is_tight:
            chunks[-1].append(row)
        else:
            chunks.append([row])
            real = 0
        real += lengths[row]
    tiles = []
    for reports in chunks:
        longest = max(lengths[reports[-1]], 1)
        together = max(1, bound // (len(reports) * longest * per_study))
        for start in range(0, studies, together):
            own = slice(start, min(start + together, studies))
            tiles.append(Tile(own, reports, longest, lengths[reports[0]] < longest))
    return tiles


def is_kept(tiles: list[Tile], patches: Tensor) -> bool:
    """Tell whether a step keeps the arrays of its tiles for the backward pass: on a CPU, if both of all are small."""
    if patches.device.type != "cpu":
        return False
    pairs = sum((tile.studies.stop - tile.studies.start) * len(tile.reports) * tile.longest for tile in tiles)
    return 2 * pairs * patches.shape[1] <= KEPT_ELEMENTS


def _allocate(tiles: list[Tile], patches: Tensor, count: int) -> Tensor:
    """Return `count` arrays that hold any of the tiles: allocating them tile by tile costs page faults."""
    sizes = [(tile.studies.stop - tile.studies.start) * len(tile.reports) * tile.longest for tile in tiles]
    return patches.new_empty(count, max(sizes) * patches.shape[1])


def _cut(
    tile: Tile, patches: Tensor, words: Tensor, word_mask: Tensor, patch_mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Return the patches, words and masks of a tile; a word mask only if there is padding."""
    return (
        patches[tile.studies],
        words[tile.reports, : tile.longest],
        word_mask[tile.reports, : tile.longest] if tile.is_padded else None,
        None if patch_mask is None else patch_mask[tile.studies],
    )


def _match_tile(
    patches: Tensor,
    words: Tensor,
    word_mask: Tensor | None,
    patch_mask: Tensor | None,
    patch_scale: float,
    word_scale: float,
    arrays: Tensor,
    products: str,
) -> Matched:
    """Match the words of some reports with the patches of some studies, in the first two of `arrays`."""
    studies, per_study, embedding = patches.shape
    flat = words.reshape(-1, embedding)
    first, second = _shape(arrays[0], studies, per_study, len(flat)), _shape(arrays[1], studies, per_study, len(flat))
    multiply(patches.reshape(-1, embedding), flat.T, products, first.view(-1, len(flat)))
    by_report = (studies, per_study, *words.shape[:2])
    if word_mask is not None:
        first.view(by_report).masked_fill_(~word_mask, -torch.inf)
    torch.softmax(first.view(by_report), -1, out=second.view(by_report))  # over the words of a report
    share, attention = second, first
    # The cosine does not see a word's attention sum, so the softmax over patches needs no division;
    # its maximum is subtracted for range alone.
    if patch_mask is None:
        torch.sub(share, share.amax(dim=1, keepdim=True), out=attention).mul_(patch_scale).exp_()
    else:  # a patch that no word may look at must not set the maximum
        seen = patch_mask[:, :, None]
        torch.sub(share, (share * seen).amax(dim=1, keepdim=True), out=attention)
        attention.mul_(patch_scale).clamp_(max=0).exp_().mul_(seen)
    collected = multiply(attention.transpose(1, 2), patches, products)
    cosine = (flat * collected).sum(dim=-1) / (flat.norm(dim=-1) * collected.norm(dim=-1)).clamp(min=MIN_LENGTH)
    word_match = (word_scale * cosine).view(studies, *words.shape[:2])
    if word_mask is not None:
        word_match = word_match.masked_fill(~word_mask, -torch.inf)
    return Matched(share, attention, collected, cosine, word_match)


def _differentiate_tile(
    matched: Matched,
    patches: Tensor,
    words: Tensor,
    grad: Tensor,
    patch_scale: float,
    word_scale: float,
    array: Tensor,
    products: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a tile's gradients of its patches, its words and both scales, using `array`.

    grad: (studies, reports), of the matches.
    """
    share, attention, collected, cosine = matched.share, matched.attention, matched.collected, matched.cosine
    studies, per_study, embedding = patches.shape
    flat = words.reshape(-1, embedding)
    # The log of the sum of exponentials hands its gradient out by softmax, to each word's cosine.
    of_match = (grad[:, :, None] * matched.word_match.softmax(dim=-1)).view(studies, -1)
    of_cosine = word_scale * of_match
    word_length = flat.norm(dim=-1).clamp(min=MIN_LENGTH)
    length = collected.norm(dim=-1).clamp(min=MIN_LENGTH)
    across = (of_cosine / (word_length * length))[:, :, None]
    along = (of_cosine * cosine)[:, :, None]
    of_collected = across * flat - along / length[:, :, None] ** 2 * collected
    of_flat = (across * collected - along / word_length[:, None] ** 2 * flat).sum(dim=0)
    of_patches = multiply(attention, of_collected, products)
    # Through exp and the softmax over words. A word's cosine does not change with the sum of its
    # attention, so the maximum that was subtracted has no gradient.
    through = multiply(patches, of_collected.transpose(1, 2), products, _shape(array, *share.shape))
    through.mul_(attention).mul_(share)
    by_report = through.view(studies, per_study, *words.shape[:2])
    sums = by_report.sum(dim=-1, keepdim=True)
    by_report.addcmul_(share.view_as(by_report), sums, value=-1)
    rows = through.view(-1, len(flat))
    add_product(of_patches.view(-1, embedding), rows, flat, patch_scale, products)
    add_product(of_flat, rows.T, patches.reshape(-1, embedding), patch_scale, products)
    return of_patches, of_flat.view_as(words), torch.stack([sums.sum(), (of_match * cosine).sum()])


def _shape(array: Tensor, *shape: int) -> Tensor:
    """Return the beginning of a flat array in a shape."""
    return array[: math.prod(shape)].view(shape)
