"""The merged image towers of BioViL-T and BioViL: one graph for a radiograph, one for it beside its prior.

The first gives the features that the second reads, for a current radiograph and a prior alike, so that a prior that
was a current one before costs nothing. Shapes: n radiographs, s × s places, w channels of the features, e of the
shared space.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alta_training.families.biovil_image import BiovilImage, BiovilTImage, Projector
from alta_training.families.biovil_temporal import HEADS, TemporalLayer

from .affine import Affine
from .convolution import Kernel, to_place_conv
from .merge import fold_missing_prior, fold_post_norm, scale_query
from .resnet_tower import MergedTrunk
from .towers import without_bias


def split_projector(projector: Projector) -> tuple[Affine, Affine]:
    """Return the projector's two maps, with the norm between in the first."""
    first, norm, _, last = projector
    assert isinstance(first, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and isinstance(last, nn.Conv2d)
    return Kernel.of(first).normed(norm).to_affine(), Kernel.of(last).to_affine()


class MergedProjector(nn.Module):
    """Features to patches, place by place, and their mean."""

    def __init__(self, first: Affine, last: Affine) -> None:
        """Take the two maps."""
        super().__init__()
        self.first, self.last = to_place_conv(first), to_place_conv(last)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the projection (n, e) and the patches (n, e, s, s) of features (n, w, s, s)."""
        patches: Tensor = self.last(F.relu(self.first(features)))
        return patches.mean(dim=(2, 3)), patches


class MergedBiovil(nn.Module):
    """BioViL's image tower."""

    def __init__(self, tower: BiovilImage) -> None:
        """Merge an image tower."""
        super().__init__()
        self.trunk = MergedTrunk(tower.trunk)
        self.projector = MergedProjector(*split_projector(tower.projector))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pixels (n, 1, px, px) uint8 to projections (n, e) and patches (n, e, s, s)."""
        projection, patches = self.projector(self.trunk(pixels))
        return projection, patches


class MergedBiovilT(nn.Module):
    """BioViL-T's image tower as far as it needs no prior, and what a radiograph without one gives."""

    def __init__(self, tower: BiovilTImage) -> None:
        """Merge an image tower; a prior that is missing is a constant, and so goes into a bias."""
        super().__init__()
        self.trunk = MergedTrunk(tower.trunk)
        self.to_static = tower.to_static
        first, last = split_projector(tower.projector)
        missing = tower.missing_prior.detach().double().flatten()
        self.projector = MergedProjector(fold_missing_prior(first, missing), last)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode pixels (n, 1, px, px) uint8 to features (n, w, s, s), projections (n, e) and patches (n, e, s, s)."""
        features = self.to_static(self.trunk(pixels))
        projection, patches = self.projector(features)
        return features, projection, patches


class MergedTemporalLayer(nn.Module):
    """One block of the temporal transformer; in the last one only the first `asking` tokens ask and go on."""

    def __init__(self, layer: TemporalLayer, asking: int | None) -> None:
        """Merge one block: the attention's scale goes into its query."""
        super().__init__()
        self.asking = asking
        self.norm1, self.norm2 = layer.norm1, layer.norm2
        attention = layer.attn
        self.query = without_bias(scale_query(attention.proj_q.weight.detach().double(), HEADS))
        self.key, self.value, self.projection = attention.proj_k, attention.proj_v, attention.proj
        self.fc1, self.fc2 = layer.mlp.fc1, layer.mlp.fc2

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        """Transform tokens (n, 2s², w) to as many, the last block to (n, s², w); place: (1, 2s², w)."""
        y = self.norm1(x) + place  # read by query, key and value
        asked = y if self.asking is None else y[:, : self.asking]
        q, k, v = (
            product(tokens).unflatten(-1, (HEADS, -1)).transpose(1, 2)  # (n, heads, tokens, w/heads)
            for product, tokens in ((self.query, asked), (self.key, y), (self.value, y))
        )
        attended = ((q @ k.transpose(-1, -2)).softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
        x = (x if self.asking is None else x[:, : self.asking]) + self.projection(attended)
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return out


class MergedFusion(nn.Module):
    """From the features of a radiograph and of its prior to what it is beside it."""

    def __init__(self, tower: BiovilTImage) -> None:
        """Merge the temporal block and the projector; the last norm's gain and shift go into the latter."""
        super().__init__()
        block = tower.temporal
        places = len(block.position)
        self.side = round(places**0.5)
        self.place = nn.Parameter(block.place().detach().clone())
        last = len(block.blocks)
        self.layers = nn.ModuleList(
            [
                MergedTemporalLayer(layer, places if number == last else None)
                for number, layer in enumerate(block.blocks, start=1)
                if isinstance(layer, TemporalLayer)
            ]
        )
        self.norm = nn.LayerNorm(block.norm_post.normalized_shape, eps=block.norm_post.eps, bias=False)
        self.norm.weight.data.fill_(1.0)
        first, last_map = split_projector(tower.projector)
        gain, shift = block.norm_post.weight.detach().double(), block.norm_post.bias.detach().double()
        self.first, self.last = fold_post_norm(first, gain, shift).to_linear(), last_map.to_linear()

    def forward(self, features: Tensor, prior_features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the projection (n, e) and the patches (n, e, s, s); features of both: (n, w, s, s)."""
        current, prior = (one.flatten(2).transpose(1, 2) for one in (features, prior_features))  # (n, s², w)
        x = torch.cat([current, prior], dim=1)
        for layer in self.layers:
            x = layer(x, self.place)
        joined = torch.cat([current, self.norm(x)], dim=-1)  # (n, s², 2w)
        patches = self.last(F.relu(self.first(joined)))  # (n, s², e)
        return patches.mean(dim=1), patches.transpose(1, 2).unflatten(2, (self.side, self.side))
