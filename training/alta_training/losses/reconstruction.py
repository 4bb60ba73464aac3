"""Masked radiograph reconstruction: the hidden patches of the current frontal at twice the resolution."""

from torch import Tensor

VARIANCE_FLOOR = 1e-6


def measure_reconstruction(predicted: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Return the mean squared error over the hidden patches, each normalised by its own mean and variance.

    predicted: (n, patches, pixels · 3), as the decoder gives it. target: (n, channels, side, side), the
    current frontal at twice the tower's resolution; one channel stands for three equal ones. Its scale
    does not matter but for the floor of the variance. hidden: (n, patches) bool.
    Without a hidden patch it is 0.
    Source: He et al. 2022 (normalised pixels); Zhou et al. 2023 (MRM, twice the resolution).
    """
    if not hidden.any():
        return predicted.sum() * 0.0
    patches = cut_patches(target, predicted.shape[1])[hidden]  # (hidden, pixels · channels)
    pixels = patches.shape[-1]
    copies = predicted.shape[-1] // pixels  # of the one channel
    centred = patches - patches.mean(dim=-1, keepdim=True)
    variance = copies * centred.square().sum(dim=-1, keepdim=True) / (copies * pixels - 1)
    normal = centred / (variance + VARIANCE_FLOOR).sqrt()
    return (predicted[hidden].unflatten(-1, (pixels, copies)) - normal[:, :, None]).square().mean()


def cut_patches(images: Tensor, patches: int) -> Tensor:
    """Cut square images (n, channels, side, side) into patches: (n, patches, pixels · channels), channels last."""
    side = round(patches**0.5)
    px = images.shape[-1] // side
    cut = images.unflatten(3, (side, px)).unflatten(2, (side, px))  # (n, channels, rows, px, columns, px)
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2)
