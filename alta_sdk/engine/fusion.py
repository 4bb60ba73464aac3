"""From the CLS vectors of a study's radiographs to one vector: fusion over slots, then the global head.

In numpy: the head is two small products, and so every runtime and precision shares this exact code.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError, IntegrityError
from ..study.slots import Slot
from .arrays import read_arrays
from .manifest import FUSION_MODES
from .vectors import Vector


@dataclass(frozen=True, eq=False)
class Head:
    """The global projection head and the CLS of each missing slot, in float64.

    hidden_weight: (hidden, width); output_weight: (embedding, hidden); missing_cls: (3, width), for the
    current lateral, prior frontal and prior lateral.
    """

    hidden_weight: NDArray[np.float64]
    hidden_bias: NDArray[np.float64]
    norm_weight: NDArray[np.float64]
    norm_bias: NDArray[np.float64]
    norm_eps: NDArray[np.float64]
    output_weight: NDArray[np.float64]
    output_bias: NDArray[np.float64]
    missing_cls: NDArray[np.float64]

    @classmethod
    def read(cls, data: bytes, file: str, embedding: int) -> "Head":
        """Read the bytes of head.npz; embedding: the dimensions of the shared space.

        file: what to call it in a message. Raises IntegrityError if an array is missing or of another shape.
        """
        arrays = read_arrays(data, cls.__annotations__, file)
        head = cls(**{name: array.astype(np.float64) for name, array in arrays.items()})
        hidden, width = head.hidden_weight.shape if head.hidden_weight.ndim == 2 else (0, 0)
        shapes = ((hidden, width), *((hidden,),) * 3, (), (embedding, hidden), (embedding,), (len(Slot) - 1, width))
        if not hidden or any(array.shape != shape for array, shape in zip(vars(head).values(), shapes, strict=True)):
            raise IntegrityError(f"{file} holds a head of another shape: export the bundle again")
        return head

    @property
    def width(self) -> int:
        """The length of a CLS vector."""
        return int(self.hidden_weight.shape[1])

    def project(self, cls: NDArray[np.floating[Any]]) -> Vector:
        """Project fused CLS vectors (n, width) to the shared space: (n, embedding) float32, not normalised."""
        hidden = _gelu(cls.astype(np.float64) @ self.hidden_weight.T + self.hidden_bias)
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        normed = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.norm_eps)
        scaled = normed * self.norm_weight + self.norm_bias
        projected: Vector = (scaled @ self.output_weight.T + self.output_bias).astype(np.float32)
        return projected


def choose_slots(present: tuple[Slot, ...], mode: str) -> tuple[Slot, ...]:
    """Return the slots that a fusion mode looks at, of those that are filled."""
    check_mode(mode)
    return (Slot.FRONTAL,) if mode == "frontal" else present


def fuse_slots(cls_by_slot: Mapping[Slot, Vector], mode: str, missing_cls: NDArray[np.float64]) -> Vector:
    """Fuse the CLS vectors (width,) of a study's slots into one (width,) float32.

    frontal: the current frontal alone. present: mean of those given. published: mean over all four
    slots, the missing ones by their constants (as in training).
    """
    check_mode(mode)
    if mode == "frontal":
        return cls_by_slot[Slot.FRONTAL]
    stacked = [vector.astype(np.float64) for vector in cls_by_slot.values()]
    if mode == "published":
        stacked += [missing_cls[slot - 1] for slot in Slot if slot not in cls_by_slot]
    fused: Vector = np.mean(stacked, axis=0).astype(np.float32)
    return fused


def check_mode(mode: str) -> None:
    """Raise EngineError for a fusion mode that does not exist."""
    if mode not in FUSION_MODES:
        raise EngineError(f"fusion mode is not supported; choose one of: {', '.join(FUSION_MODES)}")


_erf = np.vectorize(math.erf, otypes=[np.float64])  # numpy has none, and scipy is 100 MB


def _gelu(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * values * (1.0 + _erf(values / math.sqrt(2.0))), dtype=np.float64)
