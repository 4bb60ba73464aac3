"""How long a search of a million vectors takes, and what it finds of the exact ten neighbours.

python benchmarks/index.py                       # made vectors of three kinds; every search is exact
python benchmarks/index.py --library usearch     # the same with usearch or faiss, where it is installed

Kinds of vectors, all of unit length: "steep" and "flat" have 2,000 clusters in a cone, with a standard
deviation that falls with the component's number k as 1/k or 1/sqrt(k), turned at random; real embeddings
lie between them or are steeper. "uniform" has no structure at all, which no embedding is like: there
nothing can be left out. Queries are new vectors of the same kind ("same") or turned away from all of them
by as much again ("across"), as a text is from radiographs.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from alta_sdk import IndexOrigin, ReportIndex
from alta_sdk.engine.vectors import Vector, to_unit_length

WIDTH, QUERIES, NEIGHBOURS = 128, 200, 10
FALL = {"steep": 1.0, "flat": 0.5, "uniform": 0.0}
Search = Callable[[Vector], set[int]]


def make_vectors(kind: str, count: int, seed: int = 0) -> Vector:
    """Return unit vectors (count, 128) float32 of one kind."""
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((count, WIDTH), dtype=np.float32)
    if kind != "uniform":
        spread = (np.arange(1, WIDTH + 1) ** -FALL[kind]).astype(np.float32)
        centres = generator.standard_normal((2_000, WIDTH), dtype=np.float32)
        vectors = (centres[generator.integers(0, 2_000, count)] + 0.7 * vectors) * spread
        vectors[:, 0] += 1  # the cone
        vectors @= np.linalg.qr(generator.standard_normal((WIDTH, WIDTH)))[0].astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@dataclass(frozen=True)
class Timing:
    """Milliseconds of each search, by the clock and of processor time, and what each found."""

    clock_ms: NDArray[np.float64]
    processor_ms: NDArray[np.float64]
    found: list[set[int]]

    def __str__(self) -> str:
        """Say the middle and the slow end; processor time tells what a busy machine hides."""
        return (
            f"median {np.median(self.clock_ms):6.2f} ms  p95 {np.percentile(self.clock_ms, 95):6.2f} ms  "
            f"processor {np.median(self.processor_ms):6.2f} ms"
        )


def time_searches(search: Search, queries: Vector) -> Timing:
    """Search for one query after the other."""
    clock, processor, found = [], [], []
    for query in queries:
        start, start_processor = time.perf_counter(), time.process_time()
        found.append(search(query))
        processor.append(1e3 * (time.process_time() - start_processor))
        clock.append(1e3 * (time.perf_counter() - start))
    return Timing(np.array(clock), np.array(processor), found)


def open_library(name: str, vectors: Vector) -> tuple[dict[str, Search], float]:
    """Build an index of another library: searches by setting, and the seconds of the build."""
    start = time.perf_counter()
    if name == "usearch":
        from usearch.index import Index  # type: ignore[import-not-found]

        graph = Index(ndim=WIDTH, metric="ip", dtype="f16")
        graph.add(np.arange(len(vectors)), vectors, threads=2)

        def by_graph(width: int) -> Search:
            def search(query: Vector) -> set[int]:
                graph.expansion_search = width
                return set(graph.search(query, NEIGHBOURS).keys.tolist())

            return search

        return {f"width {width}": by_graph(width) for width in (64, 128, 256)}, time.perf_counter() - start
    import faiss  # type: ignore[import-not-found]

    lists = round(np.sqrt(len(vectors)))
    inverted = faiss.IndexIVFFlat(faiss.IndexFlatIP(WIDTH), WIDTH, lists, faiss.METRIC_INNER_PRODUCT)
    inverted.train(vectors[: 64 * lists])
    inverted.add(vectors)

    def by_lists(probes: int) -> Search:
        def search(query: Vector) -> set[int]:
            inverted.nprobe = probes
            return set(inverted.search(query[None], NEIGHBOURS)[1][0].tolist())

        return search

    return {f"probes {probes}": by_lists(probes) for probes in (32, 128, 256)}, time.perf_counter() - start


@click.command()
@click.option("--count", default=1_000_000, show_default=True)
@click.option("--kind", "kinds", multiple=True, default=tuple(FALL), type=click.Choice(list(FALL)))
@click.option("--library", type=click.Choice(["usearch", "faiss"]), help="Measure this library instead.")
def main(count: int, kinds: tuple[str, ...], library: str | None) -> None:
    """Print build, open and search times, and recall at 10 against exact search."""
    print(f"{count:,} vectors, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {library or 'ReportIndex'}")
    for kind in kinds:
        vectors = make_vectors(kind, count + QUERIES)
        vectors, same = vectors[:count], vectors[count:]
        away = to_unit_length(np.random.default_rng(1).standard_normal(same.shape))
        with tempfile.TemporaryDirectory() as folder:
            exact, searches = measure_build(kind, vectors, library, Path(folder) / "a.index")
            for name, queries in (("same", same), ("across", to_unit_length(same + away))):
                truth = time_searches(exact, queries)
                print(f"  {name:7} {'exact':12} {truth}", flush=True)
                for setting, search in searches.items():
                    timing = time_searches(search, queries)
                    pairs = zip(timing.found, truth.found, strict=True)
                    recall = np.mean([len(found & true) / NEIGHBOURS for found, true in pairs])
                    print(f"  {name:7} {setting:12} {timing}  recall@10 {recall:.4f}", flush=True)


def measure_build(kind: str, vectors: Vector, library: str | None, path: Path) -> tuple[Search, dict[str, Search]]:
    """Build, tell how long it took, and return the exact search and the others by setting."""
    if library:
        searches, build_s = open_library(library, vectors)
        print(f"{kind}: built in {build_s:.1f} s", flush=True)
        return lambda query: set(np.argpartition(vectors @ query, -NEIGHBOURS)[-NEIGHBOURS:].tolist()), searches
    keys = [number.to_bytes(16, "big") for number in range(len(vectors))]
    start = time.perf_counter()
    ReportIndex.write(path, vectors, keys, IndexOrigin("studies", "engine", "frontal"))
    build_s, start = time.perf_counter() - start, time.perf_counter()
    index = ReportIndex.open(path)
    print(
        f"{kind}: built and written in {build_s:.1f} s, opened and verified in {time.perf_counter() - start:.2f} s, "
        f"{path.stat().st_size / 1e6:.0f} MB",
        flush=True,
    )
    return lambda query: {match.row for match in index.search_vector(query)}, {}


if __name__ == "__main__":
    sys.exit(main())
