"""The image towers of BioViL-T and BioViL, as published: grey pixels to features, patches, projection.

The mean over places is taken after the projector: patches and the projection are in one space.
"""

import torch
from torch import Tensor, nn

from .biovil_temporal import TemporalBlock
from .resnet import ResNet50

# Parts as they are called here, and in the file.
PUBLISHED = {
    "trunk": "encoder.encoder",
    "to_static": "encoder.backbone_to_vit",
    "temporal": "encoder.vit_pooler",
    "missing_prior": "encoder.missing_previous_emb",
    "projector": "projector.model",
}


def published_name(name: str) -> str:
    """Return the published name of one of our parameters."""
    part, dot, rest = name.partition(".")
    return f"{PUBLISHED[part]}{dot}{rest}"


class Projector(nn.Sequential):
    """Two 1 × 1 convolutions with a norm between, numbered as published: features to patches, place by place."""

    def __init__(self, channels: int, hidden: int, embedding: int) -> None:
        """Make it with fresh weights."""
        first, last = nn.Conv2d(channels, hidden, 1, bias=False), nn.Conv2d(hidden, embedding, 1)
        super().__init__(first, nn.BatchNorm2d(hidden), nn.ReLU(), last)
        self.embedding = embedding


class BiovilImage(nn.Module):
    """BioViL's image tower: one radiograph."""

    def __init__(self, trunk: ResNet50, projector: Projector) -> None:
        """Put the parts together."""
        super().__init__()
        self.trunk, self.projector = trunk, projector

    def static(self, grey_u8: Tensor) -> Tensor:
        """Return the features of radiographs, pixels (n, 1, px, px) uint8: (n, channels, side, side)."""
        pixels = grey_u8.float() / 255  # no mean, no deviation
        features: Tensor = self.trunk(pixels.expand(-1, 3, -1, -1))
        return features

    def project(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the projection (n, embedding) and the patches (n, embedding, side, side), neither of unit length."""
        patches: Tensor = self.projector(features)
        return patches.mean(dim=(2, 3)), patches

    def forward(self, grey_u8: Tensor) -> Tensor:
        """Return the projections (n, embedding) of radiographs (n, 1, px, px) uint8."""
        return self.project(self.static(grey_u8))[0]


class BiovilTImage(nn.Module):
    """BioViL-T's image tower: a radiograph, and what it is beside its prior."""

    def __init__(self, trunk: ResNet50, to_static: nn.Conv2d, temporal: TemporalBlock, projector: Projector) -> None:
        """Put the parts together."""
        super().__init__()
        self.trunk, self.to_static, self.temporal, self.projector = trunk, to_static, temporal, projector
        self.missing_prior = nn.Parameter(torch.zeros(1, to_static.out_channels, 1, 1))

    def static(self, grey_u8: Tensor) -> Tensor:
        """Return the static features P (n, width, side, side) of radiographs (n, 1, px, px) uint8, of any date."""
        pixels = grey_u8.float() / 255  # no mean, no deviation
        features: Tensor = self.to_static(self.trunk(pixels.expand(-1, 3, -1, -1)))
        return features

    def compare(self, current: Tensor, prior: Tensor | None) -> Tensor:
        """Return the difference features D, of the shape of P; without a prior they are a constant.

        That is no comparison with a black image: the temporal block is not run.
        """
        if prior is None:
            return self.missing_prior.expand_as(current)
        difference: Tensor = self.temporal(current, prior)
        return difference

    def join(self, current: Tensor, prior: Tensor | None) -> Tensor:
        """Return what is projected: [P; D], (n, 2 · width, side, side)."""
        return torch.cat([current, self.compare(current, prior)], dim=1)

    def project(self, current: Tensor, prior: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the projection (n, embedding) and the patches (n, embedding, side, side), neither of unit length.

        current, prior: static features, (n, width, side, side).
        """
        patches: Tensor = self.projector(self.join(current, prior))
        return patches.mean(dim=(2, 3)), patches

    def forward(self, grey_u8: Tensor, prior_grey_u8: Tensor | None = None) -> Tensor:
        """Return the projections (n, embedding) of radiographs (n, 1, px, px) uint8: each with a prior, or none."""
        prior = None if prior_grey_u8 is None else self.static(prior_grey_u8)
        return self.project(self.static(grey_u8), prior)[0]
