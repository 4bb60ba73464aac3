"""The published adapter: a bottleneck beside or behind a layer."""

from torch import Tensor, nn
from torch.nn import functional as F

from .contract import Adapter, AdapterTerms

ADAPTER_SCALE = 0.5  # of the parallel adapter beside an MLP; published code


class BottleneckAdapter(Adapter):
    """Down, exact GELU, up: (..., width) to (..., width), without the skip, which the block adds.

    Parameter names are the published ones. It starts as zero, so that training starts at the backbone.
    """

    trained_parts = ("adapter",)
    hidden_in = "D_fc1.weight"

    def __init__(self, width: int, hidden: int) -> None:
        """Make an adapter with `hidden` units between two linear layers."""
        super().__init__(width, hidden)
        self.D_fc1 = nn.Linear(width, hidden)
        self.D_fc2 = nn.Linear(hidden, width)
        self.start()

    def start(self) -> None:
        """Draw the first layer as the published code does (Xavier, zero bias), and make the second one zero."""
        nn.init.xavier_uniform_(self.D_fc1.weight)
        for zero in (self.D_fc1.bias, self.D_fc2.weight, self.D_fc2.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        """Return the adapter's contribution."""
        out: Tensor = self.D_fc2(F.gelu(self.D_fc1(x)))
        return out

    def merged(self) -> AdapterTerms:
        """Return both layers, as they are."""
        return AdapterTerms(self.D_fc1, self.D_fc2)
