"""One linear map with its bias, in float64: what the merging algebra works on."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Affine:
    """y = weight · x + bias; weight (out, in), bias (out,), both float64."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, layer: nn.Linear) -> "Affine":
        """Copy a linear layer's weight and bias to float64."""
        return cls(layer.weight.detach().double(), layer.bias.detach().double())

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the map to the last axis."""
        return x @ self.weight.T + self.bias

    def stack(self, other: "Affine") -> "Affine":
        """Return one map that gives both outputs, ours first, from the shared input."""
        return Affine(torch.cat([self.weight, other.weight]), torch.cat([self.bias, other.bias]))

    def after(self, first: "Affine") -> "Affine":
        """Return the one map that does `first`, then this one."""
        return Affine(self.weight @ first.weight, self.weight @ first.bias + self.bias)

    def scaled(self, factor: float) -> "Affine":
        """Return the map with its output multiplied by `factor`."""
        return Affine(self.weight * factor, self.bias * factor)

    def to_linear(self) -> nn.Linear:
        """Return a float32 layer; the only place where the algebra is rounded."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        layer.weight.data = self.weight.float().contiguous()
        layer.bias.data = self.bias.float().contiguous()
        return layer
