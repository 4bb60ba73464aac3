"""From radiographs in their slots to CLS vectors: a study as one batch, and nothing encoded twice.

A CLS vector is what a run of that radiograph alone gives, to the last bit, so that a score is a function
of the study and not of its company or of what was cached. Whether a batch of k keeps that bit for bit
depends on the back end's kernels and on the processor, so it is measured: the first batch of each size
is run both ways on this machine, and a size whose rows differ is never batched again.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alta_runtimes import Session

from ..errors import EngineError
from ..study.slots import Slot
from .manifest import BundleGraph
from .manifest_content import IMAGE, describe_alta_graphs
from .vectors import Vector, take_output

ALTA_IMAGE = BundleGraph.read(describe_alta_graphs()[IMAGE])
MAX_CACHED_CLS = 4096  # 12 MiB at width 768
Key = tuple[bytes, int]
Pixels = NDArray[np.uint8]


class ClsCache:
    """The CLS vectors that were used last, by content and slot; bounded, safe to share between threads."""

    def __init__(self, capacity: int = MAX_CACHED_CLS) -> None:
        """Keep at most `capacity` vectors."""
        self._capacity = capacity
        self._vectors: OrderedDict[Key, Vector] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Count the vectors that are kept."""
        return len(self._vectors)

    def get(self, key: Key) -> Vector | None:
        """Return the vector of a key, and remember that it was used; None if it is not kept."""
        with self._lock:
            if key in self._vectors:
                self._vectors.move_to_end(key)
            return self._vectors.get(key)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._vectors.clear()

    def put(self, key: Key, vector: Vector) -> None:
        """Keep a vector, read-only; the one that was not used for the longest time makes room."""
        vector.setflags(write=False)
        with self._lock:
            self._vectors[key] = vector
            self._vectors.move_to_end(key)
            if len(self._vectors) > self._capacity:
                self._vectors.popitem(last=False)


class ImageEncoder:
    """Encodes radiographs with one loaded image graph; safe to share between threads."""

    def __init__(self, session: Session, cache: ClsCache | None = None, graph: BundleGraph = ALTA_IMAGE) -> None:
        """Encode with `session`, remembering in `cache` (by default one of its own); graph: what it reads and gives."""
        self._session = session
        self._graph = graph
        self._output = "cls" if "cls" in graph.outputs else "projection"
        self._reads_slot = "slot" in graph.inputs
        self.cache = ClsCache() if cache is None else cache
        self._keeps_rows: dict[int, bool] = {}  # by batch size: are its rows those of single runs?

    def run(self, pixels: Pixels, slot: NDArray[np.int64]) -> Vector:
        """Run the graph: pixels (n, 1, px, px) uint8 and slots (n,) to CLS (n, width) float32.

        Of a family without a head the vectors are projections; a family whose vectors know no slot reads none.
        """
        given = self._graph.select_inputs({"pixels": pixels, "slot": slot})
        return take_output(self._session.run(given), self._output, len(pixels), 2)

    def encode(self, radiographs: Sequence[tuple[Pixels, Slot]]) -> list[Vector]:
        """Return the CLS vector (width,) float32, read-only, of each radiograph: pixels (px, px) uint8 and slot.

        One radiograph as current and as prior frontal has two vectors where the model adds the slot's own
        embedding to its input, as ALTA does; else one.
        """
        keys = [
            (hashlib.sha256(pixels.tobytes()).digest(), int(slot) * self._reads_slot) for pixels, slot in radiographs
        ]
        known = {key: vector for key in keys if (vector := self.cache.get(key)) is not None}
        new = {key: one for key, one in zip(keys, radiographs, strict=True) if key not in known}
        for key, vector in zip(new, self._encode_new(list(new.values())), strict=True):
            self.cache.put(key, vector)
            known[key] = vector
        return [known[key] for key in keys]

    def _encode_new(self, radiographs: list[tuple[Pixels, Slot]]) -> list[Vector]:
        size = len(radiographs)
        if size < 2 or self._keeps_rows.get(size) is False:
            return [self._encode_together([one])[0] for one in radiographs]
        if size in self._keeps_rows:
            return self._encode_together(radiographs)
        alone = [self._encode_together([one])[0] for one in radiographs]
        self._keeps_rows[size] = self._gives(alone, radiographs)
        return alone

    def _gives(self, alone: list[Vector], radiographs: list[tuple[Pixels, Slot]]) -> bool:
        """True if a batch gives the rows of single runs, to the last bit."""
        try:
            together = self._encode_together(radiographs)
        except EngineError:  # an engine that was built for smaller batches
            return False
        return all(map(np.array_equal, together, alone))

    def _encode_together(self, radiographs: list[tuple[Pixels, Slot]]) -> list[Vector]:
        pixels = np.stack([one for one, _ in radiographs])[:, None]  # (n, 1, px, px)
        slot = np.array([slot for _, slot in radiographs], dtype=np.int64)
        return [row.copy() for row in self.run(pixels, slot)]  # a row that is kept must not keep its batch
