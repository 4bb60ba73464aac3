"""Arithmetic of the shared space: vectors, their unit length, and shares of logits."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError

Vector = NDArray[np.float32]


def take_output(outputs: Mapping[str, NDArray[Any]], name: str, rows: int, rank: int) -> Vector:
    """Return a graph's output of `rows` rows in float32; raise EngineError if it is not there, or of another shape."""
    array = outputs.get(name)
    if array is None or array.ndim != rank or len(array) != rows or array.dtype.kind != "f":
        raise EngineError(f'graph does not give "{name}" as an export writes it: export the bundle again')
    return np.asarray(array, dtype=np.float32)


def without_warnings() -> np.errstate:
    """Return a context for arithmetic on what an engine gives: numpy warns with paths, `require_finite` refuses."""
    return np.errstate(all="ignore")


def to_unit_length(vectors: NDArray[np.floating[Any]]) -> Vector:
    """Scale the last axis to length 1, in float32; a zero vector stays zero."""
    with without_warnings():
        wide = vectors.astype(np.float64)
        lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
        unit: Vector = (wide / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit


def require_finite(values: NDArray[np.floating[Any]], what: str) -> None:
    """Raise EngineError if a value is infinite or no number: no score is made of it. what: "scores are"."""
    if not np.isfinite(values).all():
        raise EngineError(f"{what} not finite: the engine does not compute here; see alta doctor NAME.alta")


def measure_cosines(text: Vector, study: Vector) -> Vector:
    """Return the cosine of each row of unit length (n, embedding) with a vector (embedding,): (n,) float32.

    Raises EngineError if one is not finite.
    """
    with without_warnings():
        cosines: Vector = text @ study
    require_finite(cosines, "scores are")
    return cosines


def softmax(logits: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Return the shares of logits along an axis, which sum to 1."""
    with without_warnings():
        exponentials = np.exp(logits - logits.max(axis=axis, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=axis, keepdims=True), dtype=np.float64)
