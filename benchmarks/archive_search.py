"""Searches of an archive: what they find of the exact ten neighbours, what they cost, and faiss beside them.

Run by `archive.py`. Vectors and queries are those of `index.py`, each without a filter and with one that keeps 4 %.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from archive_figures import make_rows, processor_s, tell
from index import NEIGHBOURS, QUERIES, WIDTH, make_vectors

from alta_sdk.archive.extra import require
from alta_sdk.archive.table import Archive
from alta_sdk.archive.upkeep import optimize_archive
from alta_sdk.engine.vectors import Vector, to_unit_length

FILTER = "age >= 60 and view = 'PA' and study_month <= '2001-10'"  # keeps 4 %


def measure_search(kind: str, rows: int, folder: Path) -> None:
    """Print recall and cost of searches of one kind of vectors, and of faiss at the same recall."""
    lance, found = require("lance", "archive"), dict[str, float]()
    vectors = make_vectors(kind, rows + QUERIES)
    vectors, same = vectors[:rows], vectors[rows:]
    across = to_unit_length(same + to_unit_length(np.random.default_rng(1).standard_normal(same.shape)))
    table = make_rows(vectors)
    out = folder / f"{kind}.lance"
    lance.write_dataset(table, str(out))
    with processor_s(found, "optimize"):
        optimize_archive(str(out))
    archive = Archive(str(out))
    print(f"{kind}, {rows:,}: index {found['optimize']:.0f} s of the processor, {archive.probes}", flush=True)
    where = archive.parse_where(FILTER)
    assert where is not None
    passes = np.zeros(rows, dtype=bool)
    kept = archive.table.to_table(columns=["key"], filter=where.sql)["key"].to_pylist()
    passes[[int.from_bytes(key, "big") for key in kept]] = True
    for name, queries in (("same", same), ("across", across)):
        plain_ms = measure_recall(archive, f"{kind} {name}", queries, vectors, None, None)
        measure_recall(archive, f"{kind} {name}, {passes.mean():.1%}", queries, vectors, where, passes)
        compare_faiss(vectors, queries, plain_ms)
    shutil.rmtree(out)


def measure_recall(archive: Archive, name: str, queries: Vector, vectors: Vector, where: Any, passes: Any) -> float:
    """Print the recall of searches and what one costs; return the milliseconds."""
    hits, spent = [], 0.0
    for query in queries:
        cosines = vectors @ query
        if passes is not None:
            cosines[~passes] = -2
        truth = {int(row) for row in np.argpartition(cosines, -NEIGHBOURS)[-NEIGHBOURS:]}
        start = time.process_time()
        result = archive.search_vector(query, NEIGHBOURS, where)
        spent += time.process_time() - start
        hits.append(len(truth & {int(one.key, 16) for one in result.found}) / NEIGHBOURS)
    milliseconds = 1e3 * spent / len(queries)
    recall = float(np.mean(hits))
    print(f"{name}: {milliseconds:.2f} ms of the processor, {'exact' if result.is_exact else 'cells'}")
    tell(f"{name}: recall@10", recall, ">= 0.99", recall >= 0.99)
    return milliseconds


def compare_faiss(vectors: Vector, queries: Vector, milliseconds: float) -> None:
    """Print how much longer a search takes than faiss does for the same recall, where it is installed."""
    try:
        import faiss  # type: ignore[import-not-found]
    except ImportError:
        print("faiss is not installed: searches are not compared with it")
        return
    faiss.omp_set_num_threads(1)
    lists = round(np.sqrt(len(vectors)))
    other = faiss.IndexIVFFlat(faiss.IndexFlatIP(WIDTH), WIDTH, lists, faiss.METRIC_INNER_PRODUCT)
    other.train(vectors[: 64 * lists])
    other.add(vectors)
    truth = [set(np.argpartition(vectors @ one, -NEIGHBOURS)[-NEIGHBOURS:].tolist()) for one in queries]
    for probes in (16, 32, 64, 96, 128, 192, 256, 384, 512):
        other.nprobe = probes
        start = time.process_time()
        found = [set(other.search(one[None], NEIGHBOURS)[1][0].tolist()) for one in queries]
        spent = 1e3 * (time.process_time() - start) / len(queries)
        if np.mean([len(a & b) / NEIGHBOURS for a, b in zip(found, truth, strict=True)]) >= 0.99:
            ratio = milliseconds / spent
            tell(f"a search, of faiss's with {probes} probes ({spent:.2f} ms)", ratio, "<= 3", ratio <= 3)
            return
