"""Sizes of CLIP's towers that one tensor tells, or none: heads are a 64th of the width unless somebody says."""

import math
from collections.abc import Mapping

from torch import Tensor

from alta_sdk.errors import CheckpointError

from .inferred_sizes import read_heads
from .strict import tell_size

HEAD_SIZE = 64  # of every published vision transformer and text tower of these families


def choose_heads(width: int, told: int | None, tower: str) -> int:
    """Return the heads of a tower ("image" or "text"); told: None where nobody says how many.

    Raises CheckpointError if they do not divide its width, or cannot be told.
    """
    if told is None and width % HEAD_SIZE:
        raise CheckpointError(
            f"checkpoint's {tower} tower is {width} wide, and {HEAD_SIZE} a head do not divide it: its heads cannot be "
            f"told; give --{tower}-heads"
        )
    heads = told or width // HEAD_SIZE
    if width % heads:
        raise CheckpointError(f"{heads} heads do not divide the {tower} tower's width {width}: give --{tower}-heads")
    return heads


def find_image_heads(stated: Mapping[str, str], asked: int | None) -> int | None:
    """Return what who exports asked for or the file states; raise CheckpointError if they contradict each other."""
    own = read_heads(stated, "image_heads")
    if asked and own and asked != own:
        raise CheckpointError(f"checkpoint states {own} image heads, not {asked}: leave --image-heads out")
    return asked or own


def tell_own_size(weights: Mapping[str, Tensor], name: str, axis: int) -> int:
    """Return a size that one tensor alone tells; 1 if it is not there, which strict reading then says with the rest."""
    return tell_size(weights, (name, axis)) if name in weights else 1


def tell_grid(weights: Mapping[str, Tensor], name: str, axis: int) -> int:
    """Return the patches along a side, by the position embedding of these and of one token before them.

    Raises CheckpointError if they are of no square; 1 if it is not there, as in `tell_own_size`.
    """
    if name not in weights:
        return 1
    places = tell_size(weights, (name, axis))
    grid = math.isqrt(places - 1)
    if not grid or grid**2 + 1 != places:
        raise CheckpointError(f"checkpoint's {name} is not of a square of patches and one token: it is damaged")
    return grid
