"""What a prior costs: a radiograph alone, and the same kind beside a prior that was encoded before.

For engines whose image tower reads the prior. Both are timed past the cache for the current radiograph, which is a new
one in each round, and with it for the prior, as on the day after it was the current one.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..dicom.view_words import View
from ..engine.engine import Engine
from ..engine.manifest_content import PRIOR
from ..study.radiograph import Radiograph, read_picture
from ..study.slots import Slot
from .measure import Subject
from .timing import WARM_UPS, time_in_turn


@dataclass(frozen=True)
class FollowUp:
    """Milliseconds (median) of a radiograph alone, and of one beside a prior that was seen.

    times_alone: how many times as long the second takes, the median of the ratios by round.
    """

    name: str
    runtime: str
    alone_ms: float
    beside_prior_ms: float
    times_alone: float


def measure_follow_ups(subjects: Sequence[Subject], rounds: int) -> list[FollowUp]:
    """Time follow-up studies of the engines that read priors, in turn; nothing of the others."""
    readers = [one for one in subjects if PRIOR in one.engine.manifest.fusion_modes]
    runs: dict[str, Callable[[], object]] = {}
    for number, subject in enumerate(readers):
        runs[f"{number} alone"], runs[f"{number} beside"] = make_runs(subject.engine, rounds)
    times = time_in_turn(runs, rounds) if runs else {}
    return [
        FollowUp(
            subject.name,
            subject.runtime,
            alone_ms=1e3 * statistics.median(alone := times[f"{number} alone"]),
            beside_prior_ms=1e3 * statistics.median(beside := times[f"{number} beside"]),
            times_alone=statistics.median(b / a for a, b in zip(alone, beside, strict=True)),
        )
        for number, subject in enumerate(readers)
    ]


def make_runs(engine: Engine, rounds: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return what encodes a new radiograph alone, and what encodes one beside a prior that was seen."""
    new = make_radiographs(engine, 2 * (rounds + WARM_UPS) + 1)
    prior = next(new)
    engine.encode_radiograph(prior, Slot.FRONTAL)
    return lambda: engine.encode_radiograph(next(new), Slot.FRONTAL), lambda: engine.encode_with_prior(next(new), prior)


def make_radiographs(engine: Engine, count: int) -> Iterator[Radiograph]:
    """Make synthetic radiographs, no two alike, whose pixels the engine reads without a resize in its time."""
    generator, side = np.random.default_rng(0), engine.geometry.crop_px
    made = []
    for _ in range(count):
        grey = generator.integers(0, 256, (side, side), dtype=np.uint8)
        made.append(read_picture(grey, View.FRONTAL, engine.manifest.intensity_profile))
        made[-1].pixels_for(engine.geometry)
    return iter(made)
