"""The index of a large archive, and how many of its cells a search must read: measured, never guessed.

Vectors lie in √n cells (IVF_FLAT; product quantization and graphs lose texts among radiographs, which is what is asked
most). At each build sample queries of both kinds (studies, and directions turned away from all of them as a text's
is) are searched with more and more cells until TARGET_RECALL of their true ten neighbours is found, without a filter
and with filters. Where that takes more than half of the cells, every study is read instead.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.vectors import Vector, to_unit_length
from ..errors import IntegrityError

PROBES = "alta.probes"
MIN_ROWS = 100_000  # below, every search reads all
TARGET_RECALL = 0.995  # of the sample, so that others keep 0.99
NEIGHBOURS = 10
QUERIES = 128
FIRST_PROBES = 8
THIN = "_rowid % 25 = 7"  # keeps 4 %, of all places alike: the hardest filter that is common
INDEX = "vector_idx"


@dataclass(frozen=True)
class Probes:
    """How many cells a search reads, None for all studies, and the lowest recall that was measured with so many.

    cells: of the index. plain: without a filter. filtered: with one.
    """

    cells: int
    plain: int | None
    filtered: int | None
    recall_plain: float
    recall_filtered: float

    def render(self) -> str:
        """Return it as it stands in the table's configuration."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str | None) -> "Probes | None":
        """Read it; None if nothing was measured. Raises IntegrityError for what is no measurement."""
        if text is None:
            return None
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise IntegrityError("what was measured of the index is damaged: run alta archive optimize") from error

    def choose(self, is_filtered: bool) -> int | None:
        """Return how many cells a search reads."""
        return self.filtered if is_filtered else self.plain


def build_index(table: Any, *, min_rows: int | None = None, seed: int = 0) -> Probes | None:
    """Build the index of a table, measure it and keep what was measured; None, without an index, for few rows."""
    count = table.count_rows()
    if count < (MIN_ROWS if min_rows is None else min_rows):
        drop_index(table)
        return None
    cells = max(2, round(np.sqrt(count)))
    table.create_index("vector", "IVF_FLAT", metric="dot", num_partitions=cells, replace=True)
    probes = measure_probes(table, cells, seed)
    table.update_config({PROBES: probes.render()})
    return probes


def drop_index(table: Any) -> None:
    """Remove the index, if there is one, and what was measured of it."""
    if any(one.name == INDEX for one in table.describe_indices()):
        table.drop_index(INDEX)
    if PROBES in table.config():
        table.delete_config_keys([PROBES])


def measure_probes(table: Any, cells: int, seed: int = 0) -> Probes:
    """Return how many of the cells find TARGET_RECALL, of each kind of query and with each filter."""
    queries = _draw_queries(table, np.random.default_rng(seed))
    plain, recall = _find_enough(table, queries, [None], cells)
    filtered, recall_filtered = _find_enough(table, queries, _list_filters(table), cells)
    return Probes(cells, plain, filtered, recall, recall_filtered)


def _find_enough(table: Any, queries: Vector, filters: list[str | None], cells: int) -> tuple[int | None, float]:
    """Return the fewest cells of a doubling row that are enough with every filter, and the lowest recall then."""
    truths = {one: find_exactly(table, queries, one) for one in filters}
    for probes in _list_probes(cells // 2):
        recall = min(_measure_recall(table, queries, truth, one, probes) for one, truth in truths.items())
        if recall >= TARGET_RECALL:
            return probes, round(recall, 4)
    return None, 1.0


def _list_probes(most: int) -> list[int]:
    """Return 8, 12, 16, 24, 32 and so on, and the most in the end."""
    row = (FIRST_PROBES * factor << power for power in range(most.bit_length()) for factor in (2, 3))
    return [*(number // 2 for number in row if number // 2 < most), most]


def _measure_recall(table: Any, queries: Vector, truth: NDArray[np.int64], filter: str | None, probes: int) -> float:
    """Return the recall of the kind of query that has the lower one: studies, or turned away."""
    hits = []
    for query, rows in zip(queries, truth, strict=True):
        nearest = {"column": "vector", "q": query, "k": truth.shape[1], "metric": "dot", "nprobes": probes}
        found = table.to_table(columns=["_distance"], nearest=nearest, filter=filter, prefilter=True, with_row_id=True)
        hits.append(len(np.intersect1d(found["_rowid"].to_numpy(), rows)) / len(rows))
    return float(min(np.mean(hits[0::2]), np.mean(hits[1::2])))


def _draw_queries(table: Any, generator: np.random.Generator) -> Vector:
    """Return unit vectors (QUERIES, d): every second one a study's, moved a little, the others turned away.

    A study itself would find itself first, and so flatter the recall: it is moved by what divides it from another.
    """
    rows = generator.choice(table.count_rows(), 2 * QUERIES, replace=False)
    column = table.take(np.sort(rows).tolist(), columns=["vector"])["vector"].combine_chunks()
    drawn = column.flatten().to_numpy().reshape(2 * QUERIES, -1)
    drawn = drawn[generator.permutation(2 * QUERIES)]
    queries = drawn[:QUERIES] + 0.1 * (drawn[QUERIES:] - drawn[:QUERIES])
    queries[1::2] += to_unit_length(generator.standard_normal((QUERIES // 2, drawn.shape[1])))
    return to_unit_length(queries)


def _list_filters(table: Any) -> list[str | None]:
    """Return the filters that are measured: a thin one, and those of each column that people ask by."""
    found: list[str | None] = [THIN]
    names = set(table.schema.names)
    for column in sorted({"sex", "view"} & names):
        value = _most_common(table, column)
        found += [f"{column} = '{value}'"] if value and value.isalpha() else []
    return found + (["age >= 60"] if "age" in names and table.count_rows(filter="age >= 60") > NEIGHBOURS else [])


def _most_common(table: Any, column: str) -> str | None:
    import pyarrow.compute as pc

    counts = pc.value_counts(table.to_table(columns=[column])[column]).to_pylist()
    known = [one for one in counts if one["values"] is not None and one["counts"] > NEIGHBOURS]
    return max(known, key=lambda one: one["counts"])["values"] if known else None


def find_exactly(table: Any, queries: Vector, filter: str | None = None) -> NDArray[np.int64]:
    """Return the row ids of each query's nearest studies, every one read: (queries, 10)."""
    best = np.full((len(queries), 0), -np.inf, dtype=np.float32)
    ids = np.zeros((len(queries), 0), dtype=np.int64)
    for rows, vectors in _read_blocks(table, filter):
        scores = queries @ vectors.T
        best = np.hstack([best, scores])
        ids = np.hstack([ids, np.broadcast_to(rows, scores.shape)])
        most = min(NEIGHBOURS, best.shape[1])
        kept = np.argpartition(-best, most - 1, axis=1)[:, :most]
        best, ids = np.take_along_axis(best, kept, axis=1), np.take_along_axis(ids, kept, axis=1)
    return ids


def _read_blocks(table: Any, filter: str | None) -> Iterator[tuple[NDArray[np.int64], Vector]]:
    for batch in table.to_batches(columns=["vector"], filter=filter, with_row_id=True, batch_size=8192):
        if len(batch):
            vectors = batch["vector"].flatten().to_numpy().reshape(len(batch), -1)
            yield batch["_rowid"].to_numpy().astype(np.int64), vectors
