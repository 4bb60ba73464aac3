"""What is known of a graph's tensors before it runs: shapes, and the values of those that shapes are made of."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import IntegrityError

MAX_VALUES = 64  # of a tensor whose values are followed: shapes are shorter
UNKNOWN = "has shapes that cannot be told before it runs"


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor's shape, and its values where it is a small one of integers that are known."""

    shape: tuple[int, ...]
    values: NDArray[np.int64] | None = None

    @property
    def elements(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)


Attributes = dict[str, Any]
Inputs = Sequence[Tensor | None]  # None where an optional one is left out
Rule = Callable[[Attributes, Inputs], list[Tensor]]


def need(inputs: Inputs, index: int) -> Tensor:
    """Return one of the inputs; raise ValueError if it is left out."""
    tensor = inputs[index]
    if tensor is None:
        raise ValueError("an input is left out")
    return tensor


def read_values(inputs: Inputs, index: int) -> list[int]:
    """Return the values of one of the inputs; raise IntegrityError if they are not known."""
    values = need(inputs, index).values
    if values is None:
        raise IntegrityError(UNKNOWN)
    return [int(value) for value in values.reshape(-1)]
