"""Projection heads into the shared space, one shape for both towers, global and local."""

from torch import Tensor, nn
from torch.nn import functional as F


class ProjectionHead(nn.Module):
    """Linear, exact GELU, layer norm, linear: (..., width) to (..., embedding), not normalised.

    Source: CXR-BERT's projection head, which ALTA uses for both towers.
    """

    def __init__(self, width: int, embedding: int) -> None:
        """Make a head from a tower's width to the shared space."""
        super().__init__()
        self.dense_to_hidden = nn.Linear(width, embedding)
        self.LayerNorm = nn.LayerNorm(embedding, eps=1e-12)
        self.dense_to_output = nn.Linear(embedding, embedding)

    def forward(self, x: Tensor) -> Tensor:
        """Project tower features to the shared space."""
        out: Tensor = self.dense_to_output(self.LayerNorm(F.gelu(self.dense_to_hidden(x))))
        return out
