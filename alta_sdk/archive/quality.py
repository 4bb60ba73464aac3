"""Quality control of an archive: one study under two keys, and studies that are like no other (probably no chest).

All vectors are read, and each is compared with those of its own cells alone: cells are drawn around √n of the vectors,
and each vector lies in its two nearest. Copies to the last bit are always found, near ones unless both cells differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..engine.vectors import Vector
from .commit import read_keys
from .table import Archive, take_vectors

NEAR = 0.9999  # the cosine of one radiograph that was stored twice with loss
CELLS_EACH = 2
_BLOCK = 4096


@dataclass(frozen=True)
class Twin:
    """Two keys of what is one study by its pixels. is_same: their vectors are equal to the last bit."""

    key: str
    other: str
    cosine: float
    is_same: bool


@dataclass(frozen=True)
class Outlier:
    """A study that is like no other. cosine: with the nearest other study."""

    key: str
    cosine: float


def find_twins(archive: Archive, least: float = NEAR) -> list[Twin]:
    """Return pairs of keys whose vectors have at least that cosine, most alike first; of many alike a chain."""
    keys, vectors = _read(archive)
    found: dict[tuple[int, int], float] = {}
    for rows in _list_cells(vectors):
        cosines = np.triu(vectors[rows] @ vectors[rows].T, 1)
        for first, second in np.argwhere(cosines >= least):
            found[int(rows[first]), int(rows[second])] = float(cosines[first, second])
    same = {one: bool(np.array_equal(vectors[one[0]], vectors[one[1]])) for one in found}
    twins = [Twin(keys[a], keys[b], min(cosine, 1.0), same[a, b]) for (a, b), cosine in found.items()]
    return sorted(twins, key=lambda twin: (not twin.is_same, -twin.cosine, twin.key, twin.other))


def find_outliers(archive: Archive, count: int) -> list[Outlier]:
    """Return the studies whose nearest other is farthest, those first."""
    keys, vectors = _read(archive)
    nearest = np.full(len(keys), -1.0, dtype=np.float32)
    for rows in _list_cells(vectors):
        cosines = vectors[rows] @ vectors[rows].T
        np.fill_diagonal(cosines, -1)
        nearest[rows] = np.maximum(nearest[rows], cosines.max(axis=1, initial=-1))
    order = np.argsort(nearest, kind="stable")[:count]
    return [Outlier(keys[row], float(nearest[row])) for row in order]


def _read(archive: Archive) -> tuple[list[str], Vector]:
    table = archive.table.to_table(columns=["key", "vector"])
    keys = read_keys(table["key"])
    order = np.argsort(keys)
    return [keys[row].tobytes().hex() for row in order], take_vectors(table)[order]


def _list_cells(vectors: Vector) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each cell, in order; all of a small archive are one cell."""
    count = round(np.sqrt(len(vectors)))
    if len(vectors) <= _BLOCK:
        yield np.arange(len(vectors))
        return
    centres = vectors[np.sort(np.random.default_rng(0).choice(len(vectors), count, replace=False))]
    cells = np.empty((len(vectors), CELLS_EACH), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        nearness = vectors[start : start + _BLOCK] @ centres.T
        cells[start : start + _BLOCK] = np.argpartition(-nearness, CELLS_EACH - 1, axis=1)[:, :CELLS_EACH]
    flat = cells.ravel()
    order = np.argsort(flat, kind="stable")
    for rows in np.split(order // CELLS_EACH, np.flatnonzero(np.diff(flat[order])) + 1):
        yield np.sort(rows)
