"""The adapter: the small trained part inside each frozen block."""

from torch import Tensor, nn
from torch.nn import functional as F

ADAPTER_SCALE = 0.5  # of the parallel adapter beside an MLP; published code


class Adapter(nn.Module):
    """Down, exact GELU, up: (..., width) to (..., width), without the skip, which the block adds.

    Parameter names are the published ones. It starts as zero, so that training starts at the backbone.
    """

    def __init__(self, width: int, hidden: int) -> None:
        """Make an adapter with `hidden` units between two linear layers."""
        super().__init__()
        self.D_fc1 = nn.Linear(width, hidden)
        self.D_fc2 = nn.Linear(hidden, width)
        nn.init.zeros_(self.D_fc2.weight)
        nn.init.zeros_(self.D_fc2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the adapter's contribution."""
        out: Tensor = self.D_fc2(F.gelu(self.D_fc1(x)))
        return out
