"""What every kind of adapter is, so that blocks, checkpoints, the rule of what trains and the export need no names.

An adapter belongs to one block and gives what is added there. Where it stands, and how much of it
counts, is the block's business.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class AdapterTerms:
    """What an adapter comes to when it is merged: x → up(gelu(down(x))), exact GELU.

    down: (width → hidden), up: (hidden → width); an export puts both into the products beside them.
    """

    down: nn.Linear
    up: nn.Linear

    @property
    def adds_nothing(self) -> bool:
        """True if the second layer's weight and bias are all zero, as an adapter starts; then nothing is carried."""
        return not (self.up.weight.any() or self.up.bias.any())


class Adapter(nn.Module):
    """The small trained part of a frozen block: (..., width) to (..., width), without the skip.

    trained_parts: parts of parameter names, in lower case, by which the rule of what trains knows this kind.
    hidden_in: the adapter's tensor whose first side is the number of its hidden units.
    """

    trained_parts: ClassVar[tuple[str, ...]]
    hidden_in: ClassVar[str]

    def __init__(self, width: int, hidden: int) -> None:
        """Make an adapter of `hidden` units for a tower of `width`."""
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Return the adapter's contribution."""
        raise NotImplementedError

    def start(self) -> None:
        """Draw the weights anew so that the adapter adds exactly nothing: training starts at the backbone."""
        raise NotImplementedError

    def merged(self) -> AdapterTerms:
        """Return what an export has to carry of this adapter."""
        raise NotImplementedError


@contextmanager
def leave_out_adapters(tower: nn.Module) -> Iterator[None]:
    """Let every adapter of a tower add exactly nothing in this context: what is left is the backbone.

    Layer norms and tokens stay as they were trained. Blocks call their adapters as modules, so this asks
    nothing of a kind and changes no weight.
    """

    def silence(adapter: nn.Module, given: object, contribution: Tensor) -> Tensor:
        return torch.zeros_like(contribution)

    hooks = [module.register_forward_hook(silence) for module in tower.modules() if isinstance(module, Adapter)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
