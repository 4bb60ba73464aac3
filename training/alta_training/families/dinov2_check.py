"""Whether a folded tower is still the source's: both encode the same radiographs, and every token is compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from alta_sdk.errors import CheckpointError
from alta_sdk.study.geometry import ALTA_GEOMETRY

from ..model.alta import to_model_input
from .dinov2 import MIN_RADIOGRAPHS, build_tower
from .dinov2_sources import InputStatistics, Source

# Both sides are float32 or better; a wrong fold, rule or number of heads is off by a hundredth and more.
LIMIT = 1e-4
SYNTHETIC = 4


@dataclass(frozen=True)
class Check:
    """What was compared; difference: the largest, as a share of the source's largest value."""

    encoded_by: str
    depth: int
    radiographs: int
    difference: float

    def __str__(self) -> str:
        """Spell it as one line, with two digits: more of them differ from one machine to the next."""
        return (
            f"tokens before the last norm at depth {self.depth} against {self.encoded_by}: largest difference "
            f"{self.difference:.1e} of the largest value on {self.radiographs} radiographs (limit {LIMIT:.0e})"
        )


@torch.inference_mode()
def check_tower(
    source: Source,
    weights: Mapping[str, Tensor],
    statistics: InputStatistics,
    depth: int,
    radiographs: Sequence[NDArray[np.uint8]],
) -> Check:
    """Compare the tower of a backbone with the source's own, token by token.

    radiographs: (224, 224) uint8 each, four or more.
    Raises CheckpointError if they differ by more than LIMIT of the largest value.
    """
    if len(radiographs) < MIN_RADIOGRAPHS:
        raise CheckpointError(f"the check needs at least {MIN_RADIOGRAPHS} radiographs: got {len(radiographs)}")
    tower = build_tower(weights, source.heads)
    tower.norm = nn.Identity()  # type: ignore[assignment]
    mean, deviation = (
        torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (statistics.mean, statistics.deviation)
    )
    grey = torch.from_numpy(np.stack(radiographs))
    theirs = source.encode((grey.double()[:, None] / 255 - mean) / deviation, depth, source.heads)
    own = torch.cat([tower(to_model_input(one), torch.zeros(1, dtype=torch.int64)) for one in grey[:, None]])
    if theirs.shape != own.shape or not torch.isfinite(theirs).all():
        raise CheckpointError("the source's own tower gives other tokens, or no numbers: it is not a plain ViT")
    largest, difference = float(theirs.abs().max()), float((own.double() - theirs).abs().max())
    check = Check(source.encoded_by, depth, len(radiographs), difference / largest if largest else float("inf"))
    if not check.difference <= LIMIT:
        raise CheckpointError(f"the tower is not the source's: {check}; nothing was written")
    return check


def make_synthetic_radiographs(seed: int, count: int = SYNTHETIC) -> list[NDArray[np.uint8]]:
    """Draw images (224, 224) uint8 with structure of every size, where no radiograph is at hand."""
    rng = np.random.default_rng(seed)
    images, px = [], ALTA_GEOMETRY.crop_px
    for _ in range(count):
        total = np.zeros((px, px), dtype=np.float32)
        for side in (4, 16, 56, px):
            noise = Image.fromarray(rng.random((side, side), dtype=np.float32) / side**0.25)
            total += np.asarray(noise.resize((px, px), Image.Resampling.BICUBIC))
        low, high = total.min(), total.max()
        images.append(((total - low) / (high - low) * 255).astype(np.uint8))
    return images
