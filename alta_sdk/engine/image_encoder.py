"""From radiographs in their slots to vectors: a study as one batch, and nothing encoded twice.

A vector is what a run of that radiograph alone gives, to the last bit, so that a score is a function
of the study and not of its company or of what was cached. Whether a batch of k keeps that bit for bit
depends on the back end's kernels and on the processor, so it is measured: the first batch of each size
is run both ways on this machine, and a size whose rows differ is never batched again.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from alta_runtimes import Session

from ..errors import EngineError
from ..study.slots import Slot
from .manifest import BundleGraph
from .manifest_content import FEATURES, IMAGE, describe_alta_graphs
from .processor import list_instruction_sets
from .vectors import Vector, take_output

ALTA_IMAGE = BundleGraph.read(describe_alta_graphs()[IMAGE])
RANKS = {"cls": 2, "projection": 2, FEATURES: 4}
MIB = 1 << 20
ENTRY_BYTES = 512  # what Python needs to keep one radiograph's arrays, about
CACHE_BYTES = 14 * MIB  # 4,096 vectors of width 768
CACHE_BYTES_WITH_FEATURES = 128 * MIB  # some 650 radiographs of BioViL-T
TOGETHER = (8, 4)  # radiographs of several studies in one run: as many as are ready
# Where a batch takes less for each than one alone: elsewhere studies of a list are encoded side by side (`streams.py`).
GAINS_BY_BATCH, BY_TILES = ("openvino",), "amx_int8"
ALONE_FIRST = 16  # studies of lists before batches are tried: trying a size costs about what it gains over so many
Key = tuple[bytes, int]
Pixels = NDArray[np.uint8]
Encoded = tuple[Vector, ...]  # of one radiograph: its vector (width,), and its features where the graph gives them


class RadiographCache:
    """What was encoded of the radiographs that were used last, by content and slot; bounded, safe to share."""

    def __init__(self, most_bytes: int) -> None:
        """Keep at most `most_bytes`, what Python itself needs for an entry included."""
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Key, Encoded] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Count the radiographs that are kept."""
        return len(self._kept)

    def get(self, key: Key) -> Encoded | None:
        """Return what is kept under a key, and remember that it was used; None if nothing is."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def put(self, key: Key, encoded: Encoded) -> None:
        """Keep a radiograph's arrays, read-only; those that were not used for the longest time make room."""
        for array in encoded:
            array.setflags(write=False)
        with self._lock:
            self._bytes += _count_bytes(encoded) - _count_bytes(self._kept.get(key))
            self._kept[key] = encoded
            self._kept.move_to_end(key)
            while self._bytes > self._most_bytes:
                self._bytes -= _count_bytes(self._kept.popitem(last=False)[1])


def _count_bytes(encoded: Encoded | None) -> int:
    return 0 if encoded is None else ENTRY_BYTES + sum(array.nbytes for array in encoded)


class ImageEncoder:
    """Encodes radiographs with one loaded image graph; safe to share between threads."""

    def __init__(self, session: Session, cache: RadiographCache | None = None, graph: BundleGraph = ALTA_IMAGE) -> None:
        """Encode with `session`, remembering in `cache` (by default one of its own); graph: what it reads and gives."""
        self._session = session
        self._graph = graph
        has_features = FEATURES in graph.outputs
        self._outputs = ("cls" if "cls" in graph.outputs else "projection", *((FEATURES,) if has_features else ()))
        self._reads_slot = "slot" in graph.inputs
        most_bytes = CACHE_BYTES_WITH_FEATURES if has_features else CACHE_BYTES
        self.cache = RadiographCache(most_bytes) if cache is None else cache
        self._asked_ahead = 0
        self._keeps_rows: dict[int, bool] = {}  # by batch size: are its rows those of single runs?

    def beside(self, session: Session, *, shares_cache: bool = False) -> "ImageEncoder":
        """Return one that encodes with another session of the same graph, into its own cache or into this one's."""
        return ImageEncoder(session, self.cache if shares_cache else None, self._graph)

    def run(self, pixels: Pixels, slot: NDArray[np.int64]) -> Vector:
        """Run the graph: pixels (n, 1, px, px) uint8 and slots (n,) to CLS (n, width) float32.

        Of a family without a head the vectors are projections; a family whose vectors know no slot reads none.
        """
        return self.run_all(pixels, slot)[0]

    def run_all(self, pixels: Pixels, slot: NDArray[np.int64]) -> tuple[Vector, ...]:
        """Do the same, and return with the vectors the features (n, channels, side, side) where the graph has them."""
        outputs = self._session.run(self._graph.select_inputs({"pixels": pixels, "slot": slot}))
        return tuple(take_output(outputs, name, len(pixels), RANKS[name]) for name in self._outputs)

    def run_features(self, pixels: Pixels, slot: NDArray[np.int64]) -> Vector:
        """Return the features (n, channels, side, side) alone; raise EngineError where the graph gives none."""
        self._require_features()
        return self.run_all(pixels, slot)[1]

    def encode(self, radiographs: Sequence[tuple[Pixels, Slot]]) -> list[Vector]:
        """Return the CLS vector (width,) float32, read-only, of each radiograph: pixels (px, px) uint8 and slot.

        One radiograph as current and as prior frontal has two vectors where the model adds the slot's own
        embedding to its input, as ALTA does; else one.
        """
        return [encoded[0] for encoded in self.encode_all(radiographs)]

    def encode_features(self, radiographs: Sequence[tuple[Pixels, Slot]]) -> list[Vector]:
        """Return the features (channels, side, side) of each radiograph; raise EngineError where there are none."""
        self._require_features()
        return [encoded[1] for encoded in self.encode_all(radiographs)]

    @property
    def together(self) -> int:
        """How many radiographs of several studies are encoded in one run, where it pays: else 1."""
        gains = self._session.info.runtime in GAINS_BY_BATCH and BY_TILES in list_instruction_sets()
        return TOGETHER[0] if gains else 1

    def encode_ahead(self, studies: Sequence[Sequence[tuple[Pixels, Slot]]]) -> None:
        """Encode the radiographs of the first study, and of those that follow as many as make a batch.

        Later calls of `encode` find them in the cache. Short lists gain nothing: the first studies are left alone.
        """
        first = self._find_new(studies[0]) if self.together > 1 and studies else {}
        if not first:
            return
        self._asked_ahead += 1
        new = {key: one for radiographs in studies for key, one in self._find_new(radiographs).items()}
        fitting = [size for size in TOGETHER if len(first) < size <= len(new)]
        if fitting and self._asked_ahead > ALONE_FIRST:  # else the study is a batch of its own, at its turn
            self._encode_into_cache(dict(islice(new.items(), fitting[0])))

    def encode_all(self, radiographs: Sequence[tuple[Pixels, Slot]]) -> list[Encoded]:
        """Return what is kept of each radiograph; those that were not seen before run as one batch."""
        keys = self._name(radiographs)
        known = {key: encoded for key in keys if (encoded := self.cache.get(key)) is not None}
        new = {key: one for key, one in zip(keys, radiographs, strict=True) if key not in known}
        known |= self._encode_into_cache(new)
        return [known[key] for key in keys]

    def _name(self, radiographs: Sequence[tuple[Pixels, Slot]]) -> list[Key]:
        return [
            (hashlib.sha256(pixels.tobytes()).digest(), int(slot) * self._reads_slot) for pixels, slot in radiographs
        ]

    def _find_new(self, radiographs: Sequence[tuple[Pixels, Slot]]) -> dict[Key, tuple[Pixels, Slot]]:
        """Return the radiographs that are not in the cache."""
        named = zip(self._name(radiographs), radiographs, strict=True)
        return {key: one for key, one in named if self.cache.get(key) is None}

    def _encode_into_cache(self, new: Mapping[Key, tuple[Pixels, Slot]]) -> dict[Key, Encoded]:
        encoded = dict(zip(new, self._encode_new(list(new.values())), strict=True))
        for key, one in encoded.items():
            self.cache.put(key, one)
        return encoded

    def _require_features(self) -> None:
        if FEATURES not in self._outputs:
            raise EngineError("engine has no features of a radiograph, which a prior needs: export it again")

    def _encode_new(self, radiographs: list[tuple[Pixels, Slot]]) -> list[Encoded]:
        size = len(radiographs)
        if size < 2 or self._keeps_rows.get(size) is False:
            return [self._encode_together([one])[0] for one in radiographs]
        if size in self._keeps_rows:
            return self._encode_together(radiographs)
        alone = [self._encode_together([one])[0] for one in radiographs]
        self._keeps_rows[size] = self._gives(alone, radiographs)
        return alone

    def _gives(self, alone: list[Encoded], radiographs: list[tuple[Pixels, Slot]]) -> bool:
        """True if a batch gives the rows of single runs, to the last bit."""
        try:
            together = self._encode_together(radiographs)
        except EngineError:  # an engine that was built for smaller batches
            return False
        return all(all(map(np.array_equal, *both)) for both in zip(together, alone, strict=True))

    def _encode_together(self, radiographs: list[tuple[Pixels, Slot]]) -> list[Encoded]:
        pixels = np.stack([one for one, _ in radiographs])[:, None]  # (n, 1, px, px)
        slot = np.array([slot for _, slot in radiographs], dtype=np.int64)
        # A row that is kept must not keep its batch.
        return [tuple(row.copy() for row in rows) for rows in zip(*self.run_all(pixels, slot), strict=True)]
