"""Does this machine compute what the export measured? Synthetic inputs, the reference's answers.

One row at each load, all rows by `alta doctor NAME.alta`. The answers are those of the FP32 PyTorch
towers with their adapters in; the tolerances are in the manifest.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .bundle import SELF_TEST
from .errors import EngineError, IntegrityError
from .fusion import to_unit_length

if TYPE_CHECKING:
    from .engine import Engine

INPUTS = ("pixels", "slot", "input_ids", "attention_mask")
ANSWERS = ("image", "text")


@dataclass(frozen=True)
class Drift:
    """How far one kind of embedding is from the reference: worst cosine, largest difference, the limits."""

    output: str
    rows: int
    worst_cosine: float
    max_abs: float
    min_cosine: float
    max_abs_limit: float

    @property
    def is_within_limits(self) -> bool:
        """True if this hardware gives what the export measured."""
        return self.worst_cosine >= self.min_cosine and self.max_abs <= self.max_abs_limit


def measure_drift(output: str, computed: NDArray[Any], reference: NDArray[Any], limits: dict[str, float]) -> Drift:
    """Compare embeddings (n, embedding) of unit length, row by row, with the reference's."""
    cosines = np.sum(computed.astype(np.float64) * reference.astype(np.float64), axis=1)
    return Drift(
        output=output,
        rows=len(computed),
        worst_cosine=float(cosines.min()),
        max_abs=float(np.abs(computed - reference).max()),
        min_cosine=limits["min_cosine"],
        max_abs_limit=limits["max_abs"],
    )


def run_self_test(engine: "Engine", rows: int | None = None) -> list[Drift]:
    """Run the bundle's synthetic inputs through the engine; `rows` limits how many of each kind."""
    stored = _load(engine)
    take = slice(rows)
    cls = [
        engine.encode_pixels(stored["pixels"][i : i + 1], stored["slot"][i : i + 1])[0]
        for i in range(*take.indices(len(stored["pixels"])))
    ]
    computed = {
        "image": to_unit_length(engine.head.project(np.stack(cls))),
        "text": to_unit_length(engine.encode_tokens(stored["input_ids"][take], stored["attention_mask"][take])),
    }
    limits = engine.manifest.verification["limits"]
    return [measure_drift(name, computed[name], stored[name][take], limits) for name in ANSWERS]


def check_quickly(engine: "Engine") -> None:
    """Run one row of each kind; raise EngineError if this machine's numbers are not the export's."""
    for drift in run_self_test(engine, rows=1):
        if not drift.is_within_limits:
            raise EngineError(
                f"self-test failed on this machine: {drift.output} embedding has cosine {drift.worst_cosine:.6f} "
                f"with the reference (limit {drift.min_cosine}); do not use this engine here, see: alta doctor"
            )


def _load(engine: "Engine") -> dict[str, NDArray[Any]]:
    try:
        with np.load(engine.bundle.path(SELF_TEST), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in (*INPUTS, *ANSWERS)}
    except (OSError, KeyError, ValueError) as error:
        raise IntegrityError(f"{SELF_TEST} cannot be read: export the bundle again") from error
