"""Masked radiograph reconstruction: the hidden patches of the current frontal at twice the resolution."""

from torch import Tensor

VARIANCE_FLOOR = 1e-6


def measure_reconstruction(predicted: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Return the mean squared error over the hidden patches, each normalised by its own mean and variance.

    predicted: (n, patches, pixels · 3), as the decoder gives it. target: (n, 3, side, side), the current
    frontal scaled like the tower's input, at twice its resolution. hidden: (n, patches) bool.
    Source: He et al. 2022 (normalised pixels); Zhou et al. 2023 (MRM, twice the resolution).
    """
    patches = cut_patches(target, predicted.shape[1])
    centred = patches - patches.mean(dim=-1, keepdim=True)
    normal = centred / (patches.var(dim=-1, keepdim=True) + VARIANCE_FLOOR).sqrt()
    error = ((predicted - normal) ** 2).mean(dim=-1)  # (n, patches)
    return (error * hidden).sum() / hidden.sum()


def cut_patches(images: Tensor, patches: int) -> Tensor:
    """Cut square images (n, 3, side, side) into patches: (n, patches, pixels · 3), channels last."""
    side = round(patches**0.5)
    px = images.shape[-1] // side
    cut = images.unflatten(3, (side, px)).unflatten(2, (side, px))  # (n, 3, rows, px, columns, px)
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2)
