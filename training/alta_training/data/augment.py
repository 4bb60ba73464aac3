"""Augmentation: one affine and one brightness and contrast draw, the same for a radiograph and its prior.

The draw is a value apart from its application, so that the prior, and the target at twice the
resolution, get exactly the radiograph's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..recipe import Recipe

# The recipe's settings that a draw depends on, besides its random numbers.
BOUNDS = ("rotate", "shear", "translate", "scale", "brightness", "contrast")


@dataclass(frozen=True)
class Draw:
    """Where to look and how bright: matrix (2, 3), output to input in shares of half a side; two factors."""

    matrix: Tensor
    brightness: float
    contrast: float

    @property
    def is_still(self) -> bool:
        """True if the draw leaves a radiograph as it is."""
        return self.brightness == self.contrast == 1 and bool(torch.equal(self.matrix, torch.eye(2, 3)))


def draw_augmentation(recipe: Recipe, generator: torch.Generator) -> Draw:
    """Draw rotation, shear, translation, scale, brightness and contrast within the recipe's bounds."""
    angle, shear_x, shift_x, shift_y, scale, brightness, contrast = (
        2 * torch.rand(7, generator=generator, dtype=torch.float64) - 1
    ).tolist()
    turn, lean = torch.deg2rad(torch.tensor([recipe.rotate * angle, recipe.shear * shear_x], dtype=torch.float64))
    rotation = torch.stack([torch.stack([turn.cos(), -turn.sin()]), torch.stack([turn.sin(), turn.cos()])])
    slant = torch.tensor([[1.0, float(lean.tan())], [0.0, 1.0]], dtype=torch.float64)
    linear = rotation @ slant / (1 + recipe.scale * scale)
    shift = 2 * recipe.translate * torch.tensor([[shift_x], [shift_y]], dtype=torch.float64)
    return Draw(
        torch.cat([linear, shift], dim=1).float(), 1 + recipe.brightness * brightness, 1 + recipe.contrast * contrast
    )


def apply_augmentation(grey_u8: Tensor, draw: Draw) -> Tensor:
    """Apply a draw to a square radiograph (side, side) uint8; what comes from outside is black, as published."""
    if draw.is_still:
        return grey_u8.clone()
    image = grey_u8.float()[None, None]
    grid = F.affine_grid(draw.matrix[None], [1, 1, *grey_u8.shape], align_corners=False)
    moved = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    bright = (moved * draw.brightness).clamp(0, 255)
    grey = bright.mean()
    return ((bright - grey) * draw.contrast + grey).clamp(0, 255).round().to(torch.uint8)[0, 0]
