"""Search precomputed embeddings: radiographs by report, reports by radiograph, radiographs by radiograph.

An index holds a unit vector and an opaque key for each entry, and no text: who made it knows which
report or study a key or a row stands for. `docs/indexes.md` describes the file and what was measured.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..engine.fusion import check_mode, list_used_modes, name_plain_mode
from ..engine.vectors import to_unit_length
from ..errors import EngineError, IntegrityError
from ..matching.embeddings import StudyEmbedding
from ..matching.matcher import Matcher
from ..study.key import KEY_BYTES
from .file import read_arrays, write_arrays

Kind = Literal["reports", "studies"]
_BLOCK = 65_536
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Match:
    """One entry that was found: its row in what the index was made of, its opaque key, the cosine."""

    row: int
    key: str
    cosine: float

    @property
    def score(self) -> float:
        """The cosine, by its former name."""
        return self.cosine


@dataclass(frozen=True)
class IndexOrigin:
    """What the vectors of an index are: never compared with those of another origin.

    kind: "reports" or "studies". engine: the SHA-256 that names the engine. mode: the fusion mode, None
    for reports, whose vectors are the same in every mode. site_key: the fingerprint of the key that
    signed the entries, "" if the keys came from elsewhere.
    """

    kind: Kind
    engine: str
    mode: str | None = None
    site_key: str = ""

    def __post_init__(self) -> None:
        """Refuse an origin that says too little (EngineError)."""
        if self.kind not in ("reports", "studies") or (self.mode is None) != (self.kind == "reports"):
            raise EngineError('an index holds "studies" of one fusion mode, or "reports" without one')
        if self.mode is not None:
            check_mode(name_plain_mode(self.mode))


class ReportIndex:
    """An index that is open: in memory, read-only, safe to share between threads."""

    def __init__(self, path: Path, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Use `ReportIndex.open`."""
        try:
            self.origin = IndexOrigin(**meta["origin"])
            self.vectors: NDArray[np.float32] = arrays["vectors"]
            self._keys = arrays["keys"]
            fits = _fits(self.vectors, self._keys)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise IntegrityError("index is of another kind than its header says: make it again") from error
        if not fits:
            raise IntegrityError("index holds arrays that do not belong together: make it again")
        self.path = path

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = True) -> "ReportIndex":
        """Read an index whole: what becomes of its file afterwards changes no search.

        verify: check the SHA-256 of every byte; False trusts the disk.
        Raises EngineError if there is none, IntegrityError if it is not whole or was changed.
        """
        return cls(Path(path), *read_arrays(Path(path), verify=verify))

    @classmethod
    def write(
        cls,
        path: str | os.PathLike[str],
        vectors: NDArray[np.float32],
        keys: Sequence[bytes],
        origin: IndexOrigin,
    ) -> "ReportIndex":
        """Write an index in one step and open it: an older one at `path` is replaced, or stays whole.

        vectors: (n, d) float32 of unit length. keys: n opaque keys of 16 bytes.
        Raises EngineError for vectors or keys that are not so.
        """
        vectors = np.asarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or not len(vectors) or len(keys) != len(vectors):
            raise EngineError("an index needs at least one vector, in a table (n, d), and one key for each")
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
        if not np.allclose(lengths, 1, rtol=0, atol=_UNIT_TOLERANCE):
            raise EngineError("vectors of an index must be finite and of unit length: take those of Matcher.embed")
        if {len(key) for key in keys} != {KEY_BYTES}:
            raise EngineError(f"keys of an index must have {KEY_BYTES} bytes: take those of SiteKey.sign")
        joined = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)
        write_arrays(Path(path), {"origin": vars(origin)}, {"vectors": vectors, "keys": joined})
        return cls.open(path, verify=False)

    def __len__(self) -> int:
        """The number of entries."""
        return len(self.vectors)

    @property
    def keys(self) -> list[str]:
        """The opaque keys in hexadecimal, by row."""
        return [key.tobytes().hex() for key in self._keys]

    def vectors_by_row(self) -> NDArray[np.float32]:
        """Return a copy of the vectors (n, d), in the order of `keys`."""
        return self.vectors.copy()

    def search(self, query: StudyEmbedding, count: int = 10, *, exact: bool = False) -> list[Match]:
        """Return the entries nearest to a study, best first: reports or studies, as the index holds.

        exact: for callers of older versions; every search reads every entry.
        Raises EngineError for an embedding of another engine or, among studies, of another fusion mode.
        """
        self._check(query.engine, (query.mode,))
        return self.search_vector(query.vector, count, exact=exact)

    def search_text(self, text: str, matcher: Matcher, count: int = 10, *, exact: bool = False) -> list[Match]:
        """Return the entries nearest to a phrase or report (one that is too long raises PromptError)."""
        self._check(matcher.engine.manifest.sha256, list_used_modes(matcher.fusion_mode))
        return self.search_vector(matcher.embed_text([text])[0], count, exact=exact)

    def search_vector(self, query: NDArray[np.float32], count: int = 10, *, exact: bool = False) -> list[Match]:
        """Return the entries nearest to a vector (d,), whose origin cannot be checked, best first."""
        if query.shape != self.vectors.shape[1:] or not np.isfinite(query).all():
            raise EngineError(f"a query has {self.vectors.shape[1]} finite numbers: embed it with the index's engine")
        if count < 1:
            raise EngineError("count must be at least 1")
        unit = to_unit_length(query)
        cosines: NDArray[np.float32] = self.vectors @ unit
        best = _find_best(cosines, count)
        order = np.lexsort((best, -cosines[best]))
        return [Match(int(row), self._keys[row].tobytes().hex(), float(cosines[row])) for row in best[order].tolist()]

    def _check(self, engine: str, modes: Sequence[str]) -> None:
        if engine != self.origin.engine:
            raise EngineError("index was made with another engine: embed again, or open that engine")
        if self.origin.mode not in (None, *modes):
            own = self.origin.mode
            raise EngineError(
                f"index is of another fusion mode, {own}: match in that mode (--fusion-mode), or embed again"
            )


def _fits(vectors: NDArray[Any], keys: NDArray[Any]) -> bool:
    """True if the arrays are one index: as many keys as vectors."""
    count, _ = vectors.shape
    return vectors.dtype == np.float32 and keys.shape == (count, KEY_BYTES) and keys.dtype == np.uint8 and count > 0


def _find_best(cosines: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the positions of the highest `count`, in no order."""
    if count >= len(cosines):
        return np.arange(len(cosines))
    return np.argpartition(cosines, -count)[-count:]
