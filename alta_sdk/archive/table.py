"""An archive that is open: its rows, its origin, and searches of it that are as good as they say.

The store is Lance's; what is ours is that nothing is searched by another engine's vector, that a search reads as many
cells as were measured to be enough (`probes.py`), and that every cosine is computed exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..engine.vectors import Vector, to_unit_length
from ..errors import EngineError, IntegrityError
from ..matching.embeddings import StudyEmbedding
from ..matching.matcher import Matcher
from .extra import require, require_archive
from .object_store import explain_refusal, list_storage_options
from .probes import PROBES, Probes
from .schema import METADATA, ArchiveOrigin
from .where import Where, parse_where

EXACT_ROWS = 20_000  # that a filter leaves: all of them are read


@dataclass(frozen=True)
class Found:
    """One study that was found: its opaque key, the cosine, and the scores of its labels by column."""

    key: str
    cosine: float
    scores: dict[str, float]


@dataclass(frozen=True)
class Search:
    """What was found, best first. is_exact: every study that passes the filter was read. rows: how many pass it."""

    found: tuple[Found, ...]
    is_exact: bool
    rows: int


def open_table(uri: str) -> Any:
    """Open Lance's table. Raises EngineError if it is not there or the store refuses, RuntimeUnavailable."""
    require_archive()
    lance = require("lance", "archive")
    try:
        return lance.dataset(uri, storage_options=list_storage_options(uri))
    except ValueError as error:  # what Lance raises for a table that is not there, too
        if "not found" in str(error).lower():
            raise EngineError("archive not found: make it with `alta embed … --out NAME.lance`") from error
        raise EngineError(f"archive cannot be opened: {explain_refusal(error)}") from error
    except OSError as error:
        raise EngineError(f"archive cannot be opened: {explain_refusal(error)}") from error


def read_origin(table: Any) -> ArchiveOrigin:
    """Return what the rows of a table are made with."""
    return ArchiveOrigin.parse((table.schema.metadata or {}).get(METADATA))


class Archive:
    """An archive, open for reading at the version that it had then."""

    def __init__(self, uri: str) -> None:
        """Open it; raises EngineError, IntegrityError for a table of another kind, RuntimeUnavailable."""
        self.table = open_table(uri)
        self.uri = uri
        self.origin = read_origin(self.table)
        names = set(self.table.schema.names)
        if not {"key", "vector", "shard"} <= names:
            raise IntegrityError("archive lacks columns: make it again with `alta embed`")

    def __len__(self) -> int:
        """The number of studies."""
        return int(self.table.count_rows())

    @cached_property
    def probes(self) -> Probes | None:
        """What a search reads, None without an index."""
        return Probes.parse(self.table.config().get(PROBES))

    @property
    def score_columns(self) -> list[str]:
        """The columns of labels' scores."""
        return [name for name in self.table.schema.names if name.startswith("score_")]

    def parse_where(self, text: str | None) -> Where | None:
        """Read a filter against the columns; raises EngineError for one that is none."""
        return None if text is None else parse_where(text, self.table.schema)

    def check_embedding(self, query: StudyEmbedding) -> None:
        """Raise EngineError for an embedding of another engine or fusion mode."""
        if query.engine != self.origin.engine:
            raise EngineError("archive was made with another engine: open that one, or embed the studies again")
        if query.mode != self.origin.mode:
            raise EngineError(
                f"archive is of another fusion mode, {self.origin.mode}: match in that mode (--fusion-mode)"
            )

    def search(
        self, query: StudyEmbedding, count: int = 10, where: Where | None = None, *, exact: bool = False
    ) -> Search:
        """Return the studies nearest to a study, best first."""
        self.check_embedding(query)
        return self.search_vector(query.vector, count, where, exact=exact)

    def search_text(
        self, text: str, matcher: Matcher, count: int = 10, where: Where | None = None, *, exact: bool = False
    ) -> Search:
        """Return the studies nearest to a phrase; raises PromptError for one that cannot be embedded."""
        vector = matcher.embed_text([text])[0]
        self.check_embedding(StudyEmbedding(vector, self.origin.mode, matcher.engine.manifest.sha256))
        return self.search_vector(vector, count, where, exact=exact)

    def search_vector(
        self, query: Vector, count: int = 10, where: Where | None = None, *, exact: bool = False
    ) -> Search:
        """Return the studies nearest to a vector (d,), whose origin cannot be checked."""
        if query.shape != (self.origin.width,) or not np.isfinite(query).all():
            raise EngineError(f"a query has {self.origin.width} finite numbers: embed it with the archive's engine")
        rows = int(self.table.count_rows(filter=where.sql if where else None))
        if count < 1 or not rows:
            return Search((), is_exact=True, rows=rows)
        probes = None if exact or rows <= EXACT_ROWS else self.probes
        unit = to_unit_length(query)
        columns = ["key", "vector", "_distance", *self.score_columns]
        nearest = make_query(unit, min(count, rows), probes.choose(where is not None) if probes else None)
        found = self.table.to_table(
            columns=columns, nearest=nearest, filter=where.sql if where else None, prefilter=True
        )
        is_exact = "nprobes" not in nearest
        return Search(tuple(_rank(found, unit, self.score_columns)[:count]), is_exact, rows)


def make_query(unit: Vector, count: int, probes: int | None) -> dict[str, Any]:
    """Return Lance's form of a query (d,): probes cells are read, or without a number every study."""
    query = {"column": "vector", "q": unit, "k": count, "metric": "dot"}
    return query | ({"use_index": False} if probes is None else {"nprobes": probes})


def take_vectors(table: Any) -> Vector:
    """Return the column of vectors of an Arrow table, (n, d) float32."""
    column = table["vector"].combine_chunks()
    if not len(column):
        return np.zeros((0, column.type.list_size), dtype=np.float32)
    flat: Vector = column.flatten().to_numpy()
    return flat.reshape(len(column), -1)


def _rank(found: Any, unit: Vector, scores: Sequence[str]) -> list[Found]:
    """Return rows by their exact cosine; of equal ones the lower key goes first."""
    keys = [key.hex() for key in found["key"].to_pylist()]
    cosines = (take_vectors(found) @ unit).tolist()
    cells = [found[name].to_pylist() for name in scores]
    rows = [
        Found(key, cosine, {name: cell[row] for name, cell in zip(scores, cells, strict=True)})
        for row, (key, cosine) in enumerate(zip(keys, cosines, strict=True))
    ]
    return sorted(rows, key=lambda one: (-one.cosine, one.key))
