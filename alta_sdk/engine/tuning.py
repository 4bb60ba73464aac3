"""What an engine was measured to run fastest by, when it was exported with --tune, and whether that holds here.

Which back end is the fastest differs from processor to processor, and from precision to precision. A measurement says
nothing of another processor: one of another model, or of other instruction sets, chooses as if nothing was measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alta_runtimes.choose import default_threads

from .manifest import Manifest
from .manifest_content import TUNED
from .processor import list_instruction_sets, processor_name

ELSEWHERE = "it was tuned on another processor"


@dataclass(frozen=True)
class Tuning:
    """Milliseconds of one radiograph on the processor that an engine was exported on.

    processors: that the export might use. rounds: of which each is the median. median_ms: by back end and threads, at
    least one.
    """

    processor: str
    instruction_sets: tuple[str, ...]
    processors: int
    rounds: int
    median_ms: Mapping[tuple[str, int], float]

    @property
    def order(self) -> list[tuple[str, int]]:
        """Back ends and threads, the fastest first."""
        return sorted(self.median_ms, key=lambda way: self.median_ms[way])

    @property
    def runtimes(self) -> list[str]:
        """The back ends, the fastest first."""
        return list(dict.fromkeys(runtime for runtime, _ in self.order))

    @property
    def is_of_here(self) -> bool:
        """Tell whether this processor is one like that which was measured."""
        return (self.processor, self.instruction_sets) == (processor_name(), list_instruction_sets())

    def find_threads(self, runtime: str) -> int | None:
        """Return the threads that a back end was fastest with; None unless as many processors may be used here."""
        threads = [threads for name, threads in self.order if name == runtime]
        return threads[0] if threads and self.processors == default_threads() else None

    def describe(self) -> dict[str, Any]:
        """Say it for the manifest."""
        runtime, threads = self.order[0]
        return {
            "processor": self.processor,
            "instruction_sets": list(self.instruction_sets),
            "processors": self.processors,
            "rounds": self.rounds,
            "measured": [
                {"runtime": name, "threads": count, "median_ms": self.median_ms[name, count]}
                for name, count in self.order
            ],
            "chosen": {"runtime": runtime, "threads": threads},
        }


def read_tuning(manifest: Manifest) -> Tuning | None:
    """Return what was measured at an engine's export; None for one that was not tuned."""
    told = manifest.engine.get(TUNED)
    if told is None:
        return None
    return Tuning(
        told["processor"],
        tuple(told["instruction_sets"]),
        told["processors"],
        told["rounds"],
        {(way["runtime"], way["threads"]): way["median_ms"] for way in told["measured"]},
    )
