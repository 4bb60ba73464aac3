"""From grey pixels to what CLIP's towers read: mean and deviation per channel, and CheXzero's resize inside the model.

CheXzero resizes 320 × 320 to 224 × 224 after the scaling, without antialiasing and without rounding in between. That
is linear: M · pixels · Mᵀ with a fixed M, so an engine takes the 320 × 320 bytes and its graph holds M.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PixelScaling(nn.Module):
    """Grey bytes to three channels of floats; no number of it is in a checkpoint.

    mean, std: of each channel, (3,), in grey values 0…255. resize: (px, read_px) float64, or None where the tower
    reads the pixels as they are.
    """

    mean: Tensor
    std: Tensor
    resize: Tensor | None

    def __init__(self, mean: Sequence[float], std: Sequence[float], resize: Tensor | None = None) -> None:
        """Scale by these."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float64), persistent=False)
        self.register_buffer("resize", resize, persistent=False)

    def forward(self, grey_u8: Tensor) -> Tensor:
        """Scale (n, 1, read_px, read_px) uint8 to (n, 3, px, px) float32."""
        mean, std = (values.float()[:, None, None] for values in (self.mean, self.std))
        grey = grey_u8.float()
        if self.resize is not None:
            matrix = self.resize.float()
            grey = matrix @ grey @ matrix.T  # its rows sum to 1: before or after the scaling is the same
        return (grey - mean) / std


def make_bicubic_matrix(from_px: int, to_px: int) -> Tensor:
    """Return M (to_px, from_px) float64 of a bicubic resize with a = -0.75, no antialiasing, edges repeated.

    What torch makes of each pixel alone, so that M has the published operation's own rounding of places: in float64
    they would be off by up to 3e-5 of a pixel, which shows.
    """
    alone = torch.eye(from_px)[None, None]
    return F.interpolate(alone, (to_px, from_px), mode="bicubic", align_corners=False)[0, 0].double()
