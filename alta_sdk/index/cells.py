"""Approximate search: vectors in cells around k-means centroids, of which a query reads only the nearest.

An inverted file (Sivic and Zisserman 2003; Jégou et al. 2011, without its compression). Chosen against
HNSW graphs after measuring both (`docs/indexes.md`): one file, no dependency, a million
vectors built in seconds, every score exact. How much to read is not guessed: at build it is measured on
sample queries, and where no saving keeps the recall there are no cells and the search stays exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..engine.vectors import Vector, to_unit_length

MIN_ENTRIES = 100_000  # below, exact search takes under 10 ms
TARGET_RECALL = 0.995  # of the sample queries, so that others keep 0.99
MAX_SHARE = 0.5  # reading more in pieces is slower than reading everything in one go
NEIGHBOURS = 10
_SAMPLE_QUERIES = 256
_TRAINING_ROWS = 64  # per cell
_ITERATIONS = 8
_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class Cells:
    """Where each cell begins in the vectors, sorted by cell, and how many vectors a query reads.

    centroids: (cells, d) float32. starts: (cells + 1,) uint32. budget: vectors read by one query.
    """

    centroids: NDArray[np.float32]
    starts: NDArray[np.uint32]
    budget: int

    def nearest(self, query: Vector) -> NDArray[np.int64]:
        """Return the cells that one query (d,) reads, in the order of the file."""
        order = _order_cells(query[None], self.centroids)[0]
        read = np.cumsum(np.diff(self.starts.astype(np.int64))[order])
        return np.sort(order[: int(np.searchsorted(read, self.budget)) + 1])

    def score(self, vectors: NDArray[np.float32], query: Vector) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return positions in `vectors` (n, d) and their exact cosines with one query (d,)."""
        cells = self.nearest(query)
        begins, ends = self.starts[cells].astype(np.int64), self.starts[cells + 1].astype(np.int64)
        edges = np.concatenate(([0], np.cumsum(ends - begins)))
        cosines = np.empty(int(edges[-1]), dtype=np.float32)
        for begin, end, edge in zip(begins.tolist(), ends.tolist(), edges.tolist(), strict=False):
            np.dot(vectors[begin:end], query, out=cosines[edge : edge + end - begin])
        positions = np.arange(edges[-1]) + np.repeat(begins - edges[:-1], ends - begins)
        return positions, cosines


def build_cells(vectors: NDArray[np.float32], seed: int = 0) -> tuple[NDArray[np.int64], Cells] | None:
    """Return the order that sorts vectors (n, d) into cells, and the cells; None if they save too little."""
    count = round(np.sqrt(len(vectors)))
    generator = np.random.default_rng(seed)
    centroids = _fit_centroids(vectors, count, generator)
    cell_of = _assign(vectors, centroids)
    sizes = np.bincount(cell_of, minlength=count)
    budget = _measure_budget(vectors, cell_of, centroids, sizes, generator)
    if budget > MAX_SHARE * len(vectors):
        return None
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.uint32)
    return np.argsort(cell_of, kind="stable"), Cells(centroids, starts, budget)


def _fit_centroids(vectors: NDArray[np.float32], count: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Lloyd's k-means on a sample of the vectors."""
    size = min(len(vectors), _TRAINING_ROWS * count)
    sample = vectors[np.sort(generator.choice(len(vectors), size, replace=False))]
    centroids = sample[generator.choice(size, count, replace=False)]
    for _ in range(_ITERATIONS):
        cell_of = _assign(sample, centroids)
        order = np.argsort(cell_of, kind="stable")
        used, first = np.unique(cell_of[order], return_index=True)
        sizes = np.diff(np.append(first, size))
        centroids = centroids.copy()  # an empty cell keeps its centroid
        centroids[used] = np.add.reduceat(sample[order], first, axis=0) / sizes[:, None]
    return centroids


def _assign(vectors: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    nearest = np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        nearest[start : start + _BLOCK] = _nearness(vectors[start : start + _BLOCK], centroids).argmax(axis=1)
    return nearest


def _nearness(queries: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what orders centroids as the Euclidean distance does: (queries, centroids)."""
    nearness: NDArray[np.float32] = queries @ centroids.T - np.square(centroids).sum(axis=1) / 2
    return nearness


def _order_cells(queries: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.argsort(-_nearness(queries, centroids), axis=1, kind="stable")


def _measure_budget(
    vectors: NDArray[np.float32],
    cell_of: NDArray[np.int64],
    centroids: NDArray[np.float32],
    sizes: NDArray[np.int64],
    generator: np.random.Generator,
) -> int:
    """Return how many vectors a query must read to find TARGET_RECALL of its true ten neighbours."""
    queries = _sample_queries(vectors, generator)
    neighbours = _find_exactly(vectors, queries)
    needed = []
    for order, rows in zip(_order_cells(queries, centroids), neighbours, strict=True):
        read = np.empty(len(order), dtype=np.int64)
        read[order] = np.cumsum(sizes[order])  # vectors read by the time that a cell has been
        needed.append(read[cell_of[rows]])
    return int(np.quantile(np.concatenate(needed), TARGET_RECALL, method="higher"))


def _sample_queries(vectors: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Half are entries; half are entries turned away from all others, as a text is from radiographs.

    Image and text vectors of one engine lie in two cones (Liang et al., NeurIPS 2022): a query of the
    other kind is a neighbour's direction plus one that no entry has.
    """
    drawn = vectors[np.sort(generator.choice(len(vectors), _SAMPLE_QUERIES, replace=False))]
    away = generator.standard_normal((_SAMPLE_QUERIES // 2, vectors.shape[1]))
    drawn[::2] += to_unit_length(away)
    return to_unit_length(drawn)


def _find_exactly(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the rows of each query's nearest entries: (queries, 10)."""
    best = np.full((len(queries), 0), -np.inf, dtype=np.float32)
    rows = np.zeros((len(queries), 0), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        scores = queries @ vectors[start : start + _BLOCK].T
        best = np.hstack([best, scores])
        rows = np.hstack([rows, np.broadcast_to(np.arange(start, start + scores.shape[1]), scores.shape)])
        kept = np.argpartition(-best, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        best, rows = np.take_along_axis(best, kept, axis=1), np.take_along_axis(rows, kept, axis=1)
    return rows
