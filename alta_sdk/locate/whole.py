"""A phrase as a whole against each patch of a radiograph, and the filter that the published maps go through.

Source: hi-ml-multimodal's ImageTextInferenceEngine (MIT), whose maps it gives, by scipy's `gaussian_filter` with its
defaults. scipy is 100 MB and in no thin install; what is needed of it is a sum of 13 shifted maps along each axis.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..engine.vectors import Vector, to_unit_length
from ..study.geometry import Geometry

SIGMA = 1.5  # of the filter, in patches
TRUNCATE = 4.0  # it reaches so many sigmas
FILTER = f"Gaussian, sigma {SIGMA} patches"
Map = NDArray[np.float64]
Interpolation = Literal["nearest", "bilinear"]


def match_whole(patches: Vector, phrase: Vector) -> Map:
    """Return the cosine of each patch (patches, embedding), not normalised, with a phrase's unit vector: (patches,)."""
    cosines: Map = to_unit_length(patches).astype(np.float64) @ phrase.astype(np.float64)
    return cosines


def map_as_published(
    grid: Vector, geometry: Geometry, height: int, width: int, interpolation: Interpolation = "nearest"
) -> Vector:
    """Give each pixel of a radiograph (height, width) the value of its patch as published; NaN outside the crop.

    grid: (side, side). A square of whole pixels in the middle, in which patches begin by rounding down: a pixel where
    two patches meet may be given to the other one than by `Geometry.map_to_radiograph`, which goes by its centre.
    interpolation: the published code has both; heat maps here show patches as they are.
    """
    square = int(geometry.crop_px * min(height, width) / geometry.resize_px)
    top, left = (height - square) // 2, (width - square) // 2
    mapped = np.full((height, width), np.nan, dtype=np.float32)
    if interpolation == "nearest":
        patch = _find_patches(len(grid), square)
        shown: NDArray[np.floating[Any]] = grid[np.ix_(patch, patch)]
    else:
        shares = _share_patches(len(grid), square)
        shown = shares @ grid @ shares.T
    mapped[top : top + square, left : left + square] = shown
    return mapped


def _find_patches(side: int, square: int) -> NDArray[np.int64]:
    """Return which patch each pixel along an axis shows: (square,)."""
    # In float32, as torch's interpolation to the nearest computes it, to the last bit.
    starts = np.arange(square, dtype=np.float32) * (np.float32(side) / np.float32(square))
    patches: NDArray[np.int64] = np.minimum(np.floor(starts).astype(np.int64), side - 1)
    return patches


def _share_patches(side: int, square: int) -> Map:
    """Return the share of each patch in each pixel along an axis: (square, side), by the distance of their centres."""
    centres = np.clip((np.arange(square) + 0.5) * side / square - 0.5, 0, side - 1)
    shares: Map = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(side)))
    return shares


def smooth(grid: NDArray[np.floating[Any]], sigma: float = SIGMA) -> Map:
    """Return a map (rows, columns) after a Gaussian filter, whose edges are reflected: d c b a | a b c d | d c b a.

    sigma: in patches.
    """
    radius = int(TRUNCATE * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    smoothed = grid.astype(np.float64)
    for axis in range(smoothed.ndim):
        margins = [(radius, radius) if one == axis else (0, 0) for one in range(smoothed.ndim)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(smoothed, margins, "symmetric"), len(weights), axis)
        smoothed = windows @ weights  # the filter is its own mirror image
    return smoothed
