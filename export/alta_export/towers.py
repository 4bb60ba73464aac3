"""The merged towers: what is exported. Plain products, norms and softmax; no adapters, no dropout.

An adapter that adds exactly nothing is left out: what it would widen keeps its size, and its weights to the bit.
One whose second layer has a bias alone is merged like any other.

Shapes: n radiographs or prompts, t tokens, w width, h heads.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.bert.modeling_bert import BertLayer, BertModel

from alta_training.adapters import ADAPTER_SCALE, AdapterTerms
from alta_training.model.alta import GREY_MEAN, GREY_STD
from alta_training.model.text import AdapterBertLayer, TextTower
from alta_training.model.vision import AdapterBlock, ImageTower

from .affine import Affine
from .merge import (
    AttentionMaps,
    fold_last_attention,
    fold_pixel_scaling,
    merge_attention_adapter,
    merge_shared_input,
    split_attention,
    thirds,
    widen_mlp,
)

MASKED = -10_000.0  # exp of it is 0 in float32 and float16 alike


class MergedAttention(nn.Module):
    """Self-attention before its projection: three products, of which only the query's has a bias."""

    def __init__(self, maps: AttentionMaps, heads: int) -> None:
        """Take the merged maps of one block."""
        super().__init__()
        self.heads = heads
        self.query = maps.query.to_linear()
        self.key, self.value = without_bias(maps.key), without_bias(maps.value)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from all tokens to all: (n, t, w) to (n, t, w); mask (n, 1, 1, t) is added to the logits."""
        q, k, v = (
            product(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (n, h, t, w/h)
            for product in (self.query, self.key, self.value)
        )
        logits = q @ k.transpose(-1, -2)  # (n, h, t, t)
        if mask is not None:
            logits = logits + mask
        return (logits.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)


class LastAttention(nn.Module):
    """Attention of the last block, where only CLS is wanted: no token but CLS is projected."""

    def __init__(self, maps: AttentionMaps, heads: int) -> None:
        """Take the merged maps of the last block."""
        super().__init__()
        self.heads = heads
        self.query = maps.query.to_linear()
        key, value = fold_last_attention(maps, heads)
        self.key = nn.Parameter(key.float().contiguous())  # (h, w/h, w)
        self.value = nn.Parameter(value.float().contiguous())  # (h, w, w/h)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from CLS to all tokens: (n, t, w) to (n, 1, w); mask (n, 1, t) is added to the logits."""
        q = self.query(x[:, 0]).unflatten(-1, (self.heads, 1, -1))  # (n, h, 1, w/h)
        asked = (q @ self.key).squeeze(2)  # (n, h, w)
        logits = asked @ x.transpose(1, 2)  # (n, h, t)
        if mask is not None:
            logits = logits + mask
        seen = (logits.softmax(dim=-1) @ x).unsqueeze(2)  # (n, h, 1, w)
        return (seen @ self.value).flatten(1)[:, None]  # (n, 1, w)


class MergedBlock(nn.Module):
    """A vision block whose adapters are merged as far as they can be; the last one gives CLS alone."""

    def __init__(self, block: AdapterBlock, heads: int, *, is_last: bool) -> None:
        """Merge one block of the image tower."""
        super().__init__()
        self.is_last = is_last
        self.norm1, self.norm2 = block.norm1, block.norm2
        maps = split_attention(thirds(Affine.of(block.attn.qkv)), Affine.of(block.attn.proj), heads)
        self.attention = LastAttention(maps, heads) if is_last else MergedAttention(maps, heads)
        terms = block.attn_adapter.merged()
        if terms.adds_nothing:
            self.projection, self.side = maps.projection.to_linear(), None
        else:
            merged, side = merge_attention_adapter(maps.projection, Affine.of(terms.down), Affine.of(terms.up))
            self.projection, self.side = merged.to_linear(), without_bias(side)
        terms = block.mlp_adapter.merged()
        fc1, fc2 = Affine.of(block.mlp.fc1), Affine.of(block.mlp.fc2)
        if not terms.adds_nothing:
            fc1, fc2 = widen_mlp(fc1, fc2, Affine.of(terms.down), Affine.of(terms.up), ADAPTER_SCALE)
        self.fc1, self.fc2 = fc1.to_linear(), fc2.to_linear()

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens (n, t, w) to (n, t, w); the last block to (n, 1, w)."""
        return self.add_mlp(self.add_attended(x, self.attention(self.norm1(x))))

    def add_attended(self, x: Tensor, attended: Tensor) -> Tensor:
        """Project what attention gives, and add it to the tokens (n, t, w); of the last block to CLS (n, 1, w)."""
        attended = self.projection(attended)
        if self.side is not None:
            sizes = [self.side.out_features, self.side.in_features]
            attended, hidden = attended.split(sizes, dim=-1)
        x = (x[:, :1] if self.is_last else x) + attended
        return x if self.side is None else x + self.side(F.gelu(hidden))

    def add_mlp(self, x: Tensor) -> Tensor:
        """Add to tokens (n, t, w) what the MLP gives of them."""
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return out


class MergedImageTower(nn.Module):
    """The image tower on raw grey pixels, giving the CLS that the fusion takes."""

    def __init__(self, tower: ImageTower) -> None:
        """Merge an image tower."""
        super().__init__()
        patches = fold_pixel_scaling(
            tower.patch_embed.proj.weight.detach(), tower.patch_embed.proj.bias.detach(), GREY_MEAN, GREY_STD
        )
        width, patch_px = tower.sizes.width, tower.sizes.patch_px
        self.patch = nn.Conv2d(1, width, patch_px, patch_px, bias=False)
        self.patch.weight.data = patches.kernel.float()
        position = tower.pos_embed.detach().double()
        self.cls_token = nn.Parameter((tower.cls_token.detach().double() + position[:, :1]).float())
        self.position = nn.Parameter((position[:, 1:] + patches.bias).float())
        self.slot_table = nn.Parameter(tower.slot_embedding().detach().double().float())
        depth = len(tower.blocks)
        self.blocks = nn.ModuleList(
            [
                MergedBlock(block, tower.sizes.heads, is_last=number == depth)
                for number, block in enumerate(tower.blocks, start=1)
                if isinstance(block, AdapterBlock)
            ]
        )
        self.norm = tower.norm

    def forward(self, pixels: Tensor, slot: Tensor) -> Tensor:
        """Encode pixels (n, 1, px, px) uint8 in slots (n,) int64 to CLS (n, w)."""
        return self.encode(pixels, slot)[0]

    def encode(self, pixels: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        """Return CLS (n, w) and the tokens that enter the last block (n, t, w)."""
        x = self.embed(pixels, slot)
        for block in self.blocks[:-1]:
            x = block(x)
        cls: Tensor = self.norm(self.blocks[-1](x))[:, 0]
        return cls, x

    def embed(self, pixels: Tensor, slot: Tensor) -> Tensor:
        """Return the tokens that enter the first block (n, t, w), CLS first."""
        x = self.patch(pixels.float()).flatten(2).transpose(1, 2) + self.position  # (n, patches, w)
        tokens = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        return tokens + F.embedding(slot, self.slot_table)[:, None]


class TracedImageTower(MergedImageTower):
    """The same tower as it is exported: with the tokens that the last block reads as a second output.

    They cost nothing, since they are computed anyway, and `PatchTower` goes on from them.
    """

    def forward(self, pixels: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Encode pixels to CLS (n, w) and the tokens before the last block (n, t, w)."""
        return self.encode(pixels, slot)


class PatchTower(nn.Module):
    """The last block for every token, and the local head: what the CLS graph leaves out."""

    def __init__(self, tower: ImageTower) -> None:
        """Merge the last block of an image tower, whole."""
        super().__init__()
        self.block = MergedBlock(cast(AdapterBlock, tower.blocks[-1]), tower.sizes.heads, is_last=False)
        self.norm, self.local_head = tower.norm, tower.local_projection_head

    def forward(self, tokens: Tensor) -> Tensor:
        """Project the tokens before the last block (n, t, w) to patches (n, t - 1, embedding), not normalised."""
        patches: Tensor = self.local_head(self.norm(self.block(tokens))[:, 1:])
        return patches


class MergedTextLayer(nn.Module):
    """A BERT layer; its MLP adapter shares the MLP's input product, the rest of both adapters stays."""

    def __init__(self, layer: BertLayer, heads: int) -> None:
        """Merge one layer of a text tower, with adapters or without."""
        super().__init__()
        attention = layer.attention
        products = (
            Affine.of(attention.self.query),
            Affine.of(attention.self.key),
            Affine.of(attention.self.value),
        )
        maps = split_attention(products, Affine.of(attention.output.dense), heads)
        self.attention = MergedAttention(maps, heads)
        self.projection, self.norm1 = maps.projection.to_linear(), attention.output.LayerNorm
        terms = find_terms(layer, "attn_adapter")
        self.down = None if terms is None else terms.down
        self.up = None if terms is None else terms.up
        terms = find_terms(layer, "mlp_adapter")
        dense = Affine.of(layer.intermediate.dense)
        shared = dense if terms is None else merge_shared_input(dense, Affine.of(terms.down))
        self.shared = shared.to_linear()
        self.fc2, self.norm2 = layer.output.dense, layer.output.LayerNorm
        self.side = None if terms is None else Affine.of(terms.up).scaled(ADAPTER_SCALE).to_linear()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Transform tokens (n, t, w); mask (n, 1, 1, t) is added to the attention logits."""
        x = self.norm1(self.projection(self.attention(x, mask)) + x)
        if self.down is not None and self.up is not None:
            x = x + self.up(F.gelu(self.down(x)))
        hidden = F.gelu(self.shared(x))
        if self.side is not None:
            sizes = [self.fc2.in_features, self.side.in_features]
            hidden, side = hidden.split(sizes, dim=-1)
        out: Tensor = self.norm2(self.fc2(hidden) + x)
        if self.side is not None:
            out = out + self.side(side)
        return out


class MergedBert(nn.Module):
    """BERT from token ids to hidden states."""

    def __init__(self, bert: BertModel, heads: int) -> None:
        """Merge the embeddings and the layers."""
        super().__init__()
        embeddings = bert.embeddings
        self.words = embeddings.word_embeddings
        position = embeddings.position_embeddings.weight.detach().double()
        kind = embeddings.token_type_embeddings.weight.detach().double()[0]
        self.position = nn.Parameter((position + kind).float())
        self.norm = embeddings.LayerNorm
        self.layers = nn.ModuleList(
            [MergedTextLayer(layer, heads) for layer in bert.encoder.layer if isinstance(layer, BertLayer)]
        )

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode tokens (n, t) int64 to (n, t, w), [CLS] first."""
        x = self.norm(self.words(input_ids) + self.position[: input_ids.shape[1]])
        mask = (1.0 - attention_mask.float())[:, None, None] * MASKED
        for layer in self.layers:
            x = layer(x, mask)
        return x


class MergedTextTower(MergedBert):
    """The text tower from token ids to both projections."""

    def __init__(self, tower: TextTower) -> None:
        """Merge a text tower; the masked-word head goes."""
        super().__init__(tower.bert, tower.sizes.config.num_attention_heads)
        self.global_head, self.local_head = tower.cls_projection_head, tower.local_projection_head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode tokens (n, t) int64 to the global (n, embedding) and local (n, t - 1, embedding) projections."""
        x = self.encode(input_ids, attention_mask)
        return self.global_head(x[:, 0]), self.local_head(x[:, 1:])


def find_terms(layer: BertLayer, adapter: str) -> AdapterTerms | None:
    """Return what an adapter of a text layer adds; None if there is none, or it adds exactly nothing."""
    if not isinstance(layer, AdapterBertLayer):
        return None
    terms: AdapterTerms = getattr(layer, adapter).merged()
    return None if terms.adds_nothing else terms


def without_bias(weight: Tensor) -> nn.Linear:
    """Return a float32 product (out, in) that has no bias."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.float().contiguous()
    return layer


def compute_missing_cls(tower: ImageTower) -> Tensor:
    """Return the CLS that a missing slot always has: (3, w) float64, for the slots 1, 2 and 3.

    Computed in float64 by the tower itself, adapters in.
    """
    px = tower.sizes.image_px
    double = ImageTower(tower.sizes).double().eval()
    double.load_state_dict({name: value.double() for name, value in tower.state_dict().items()})
    with torch.no_grad():
        pixels = torch.zeros(3, 3, px, px, dtype=torch.float64)
        tokens = double(pixels, torch.tensor([1, 2, 3]), missing=torch.ones(3, dtype=torch.bool))
    cls: Tensor = tokens[:, 0]
    return cls
