"""One convolution with its bias, in float64: what the merging algebra of convolutional towers works on."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .affine import Affine


@dataclass(frozen=True, eq=False)
class Kernel:
    """weight (out, in, height, width) and bias (out,), both float64."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, layer: nn.Conv2d) -> "Kernel":
        """Copy a convolution's weight and bias, which may be none, to float64."""
        weight = layer.weight.detach().double()
        bias = torch.zeros(len(weight), dtype=torch.float64) if layer.bias is None else layer.bias.detach().double()
        return cls(weight, bias)

    def normed(self, norm: nn.BatchNorm2d) -> "Kernel":
        """Return the convolution that does this one, then a batch norm as it is in evaluation: a scale and a shift.

        Exact with any padding, since the norm comes after it.
        """
        parts = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        if any(part is None for part in parts):
            raise ValueError("a batch norm without weights or running statistics is no fixed scale")
        gain, shift, mean, variance = (part.detach().double() for part in parts if part is not None)
        scale = gain / (variance + norm.eps).sqrt()
        return Kernel(self.weight * scale[:, None, None, None], (self.bias - mean) * scale + shift)

    def on_grey(self, factor: float) -> "Kernel":
        """Return the convolution that reads one channel, `factor` times larger, where this one reads equal ones.

        Exact with zeros as padding, too: zero stays zero where nothing is subtracted.
        """
        return Kernel(self.weight.sum(dim=1, keepdim=True) / factor, self.bias)

    def to_affine(self) -> Affine:
        """Return what a 1 × 1 convolution does at each place."""
        return Affine(self.weight.flatten(1), self.bias)

    def to_conv(self, like: nn.Conv2d) -> nn.Conv2d:
        """Return a float32 layer with the stride and padding of another; the only place of rounding."""
        out, channels, *size = self.weight.shape
        given: Any = (like.stride, like.padding)
        layer = nn.Conv2d(channels, out, (size[0], size[1]), *given)
        layer.weight.data = self.weight.float().contiguous()
        layer.bias = nn.Parameter(self.bias.float().contiguous())
        return layer


def to_place_conv(affine: Affine) -> nn.Conv2d:
    """Return a map as a 1 × 1 convolution in float32."""
    layer = nn.Conv2d(affine.weight.shape[1], affine.weight.shape[0], 1)
    return Kernel(affine.weight[:, :, None, None], affine.bias).to_conv(layer)
