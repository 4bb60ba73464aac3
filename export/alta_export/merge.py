"""The merging algebra: adapters and constants into the weights, exactly, in float64.

Each step takes maps and gives maps; `towers.py` puts them together. What cannot merge is said where it
is kept: the vision attention adapter keeps its second half, the text adapters all but their input. An
adapter that adds exactly nothing never gets here: all that it would widen a product by meets zeros.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .affine import Affine


@dataclass(frozen=True)
class PatchEmbedding:
    """A patch product on raw grey pixels: kernel (width, 1, patch_px, patch_px) and bias (width,), float64."""

    kernel: Tensor
    bias: Tensor


@dataclass(frozen=True)
class AttentionMaps:
    """Attention in its merged form: only query and projection have a bias. All (width, width), float64."""

    query: Affine
    key: Tensor
    value: Tensor
    projection: Affine


def fold_pixel_scaling(kernel: Tensor, bias: Tensor, mean: float, std: float) -> PatchEmbedding:
    """Fold `(pixel/255 - mean)/std` and the three equal channels into the patch embedding.

    kernel: (width, 3, patch_px, patch_px); bias: (width,). The result reads grey values 0..255 in one
    channel. Exact, because the patch grid has no padding.
    """
    summed = kernel.double().sum(dim=1, keepdim=True)
    shift = summed.sum(dim=(1, 2, 3)) * (mean / std)
    return PatchEmbedding(summed / (255.0 * std), bias.double() - shift)


def widen_mlp(fc1: Affine, fc2: Affine, adapter_in: Affine, adapter_out: Affine, scale: float) -> tuple[Affine, Affine]:
    """Make the parallel adapter of an MLP a part of its hidden layer, which has the same activation.

    Returns fc1' (hidden + adapter, width) and fc2' (width, hidden + adapter) with
    fc2'·gelu(fc1'·x) = fc2·gelu(fc1·x) + scale · adapter_out·gelu(adapter_in·x).
    """
    side = adapter_out.scaled(scale)
    return fc1.stack(adapter_in), Affine(torch.cat([fc2.weight, side.weight], dim=1), fc2.bias + side.bias)


def merge_attention_adapter(projection: Affine, adapter_in: Affine, adapter_out: Affine) -> tuple[Affine, Tensor]:
    """Share one product between the attention projection and its sequential adapter's first half.

    Returns the merged product (width + adapter, width), whose first `width` outputs are the projection
    with adapter_out's bias in it and whose others enter the GELU, and adapter_out's weight alone:
    m[:width] + adapter_out·gelu(m[width:]) = p + adapter_out·gelu(adapter_in·p), p = projection·x.
    """
    merged = Affine(projection.weight, projection.bias + adapter_out.bias).stack(adapter_in.after(projection))
    return merged, adapter_out.weight


def merge_shared_input(dense: Affine, adapter_in: Affine) -> Affine:
    """Share one product between a text layer's MLP and its parallel adapter, which read the same input.

    Returns (hidden + adapter, width). No more can merge: the adapter's output is added after a layer norm.
    """
    return dense.stack(adapter_in)


def split_attention(query_key_value: tuple[Affine, Affine, Affine], projection: Affine, heads: int) -> AttentionMaps:
    """Fold what is constant in attention: 1/√(head size) into the query, the biases of key and value away.

    A key's bias adds the same number to all logits of a query, which the softmax cancels. The weights of
    a softmax sum to 1, so a value's bias comes out as it is, through the projection: into its bias.
    """
    query, key, value = query_key_value
    scale = 1.0 / math.sqrt(query.weight.shape[0] // heads)
    return AttentionMaps(
        query=query.scaled(scale),
        key=key.weight,
        value=value.weight,
        projection=Affine(projection.weight, projection.bias + projection.weight @ value.bias),
    )


def thirds(qkv: Affine) -> tuple[Affine, Affine, Affine]:
    """Split a stacked (3 · width, width) map into query, key and value."""
    query, key, value = zip(qkv.weight.chunk(3), qkv.bias.chunk(3), strict=True)
    return Affine(*query), Affine(*key), Affine(*value)


def fold_last_attention(maps: AttentionMaps, heads: int) -> tuple[Tensor, Tensor]:
    """Bring key and value of the last block, where only CLS asks, from all tokens to the one query.

    q·(K·x) = (Kᵀ·q)·x and Σ a·(V·x) = V·(Σ a·x): so tokens are never projected. Returns, per head,
    Kᵀ's rows for the query (heads, width/heads, width) and V for the weighted sum (heads, width, width/heads).
    """
    key = maps.key.unflatten(0, (heads, -1))
    value = maps.value.unflatten(0, (heads, -1)).transpose(1, 2)
    return key, value


def fold_channel_scaling(kernel: Tensor, bias: Tensor | None, mean: Tensor, std: Tensor) -> PatchEmbedding:
    """Fold `(grey - mean)/std` of three channels that show the same grey values into the patch embedding.

    kernel: (width, 3, patch_px, patch_px); bias: (width,) or None; mean, std: (3,) in grey values 0..255. The result
    reads one channel. Exact, because the patch grid has no padding.
    """
    scaled = kernel.double() / std.double()[None, :, None, None]
    shift = (scaled.sum(dim=(2, 3)) * mean.double()).sum(dim=1)
    start = torch.zeros_like(shift) if bias is None else bias.double()
    return PatchEmbedding(scaled.sum(dim=1, keepdim=True), start - shift)


def scale_query(query: Tensor, heads: int) -> Tensor:
    """Fold 1/√(head size) into the query's product (width, width), which has no bias."""
    return query / math.sqrt(query.shape[0] // heads)


def fold_missing_prior(first: Affine, missing: Tensor) -> Affine:
    """Fold what stands for a prior that is missing, (width,) at every place, into a map of [features; prior's part].

    first: (out, 2 · width). Returns (out, width).
    """
    width = len(missing)
    return Affine(first.weight[:, :width], first.bias + first.weight[:, width:] @ missing)


def fold_post_norm(first: Affine, gain: Tensor, shift: Tensor) -> Affine:
    """Fold gain and shift, both (width,), of the norm that the second half of its input comes from into a map."""
    width = len(gain)
    ours, normed = first.weight[:, :width], first.weight[:, width:]
    return Affine(torch.cat([ours, normed * gain], dim=1), first.bias + normed @ shift)
