"""What an engine was measured to run fastest by, when it was exported with --tune, and whether that holds here.

Which back end is the fastest differs from processor to processor, and from precision to precision. A measurement says
nothing of another processor: one of another model, or of other instruction sets, chooses as if nothing was measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from alta_runtimes.choose import default_threads

from .bundle import IMAGE_GRAPH
from .manifest import Manifest
from .manifest_content import SPLIT, TUNED, WHOLE
from .processor import list_instruction_sets, processor_name

ELSEWHERE = "it was tuned on another processor"
SPLIT_GRAPH = "image-split.onnx"  # the image graph with its tokens in two parts, of an engine that it makes faster


class Way(NamedTuple):
    """One way to run an image graph. form: "whole", or "split": with its tokens in two parts."""

    runtime: str
    threads: int
    form: str = WHOLE


@dataclass(frozen=True)
class Tuning:
    """Milliseconds of one radiograph on the processor that an engine was exported on.

    processors: that the export might use. rounds: of which each is the median. median_ms: by way, at least one.
    """

    processor: str
    instruction_sets: tuple[str, ...]
    processors: int
    rounds: int
    median_ms: Mapping[Way, float]
    split_cosine: float | None = None

    @property
    def order(self) -> list[Way]:
        """Every way, the fastest first."""
        return sorted(self.median_ms, key=lambda way: self.median_ms[way])

    @property
    def runtimes(self) -> list[str]:
        """The back ends, the fastest first."""
        return list(dict.fromkeys(way.runtime for way in self.order))

    @property
    def is_of_here(self) -> bool:
        """Tell whether this processor is one like that which was measured."""
        return (self.processor, self.instruction_sets) == (processor_name(), list_instruction_sets())

    def find_threads(self, runtime: str) -> int | None:
        """Return the threads that a back end was fastest with; None unless as many processors may be used here."""
        threads = [way.threads for way in self.order if way.runtime == runtime]
        return threads[0] if threads and self.processors == default_threads() else None

    def find_form(self, runtime: str, threads: int) -> str:
        """Return the form that a back end is fastest with on so many threads; the whole one where it was not tried."""
        return next((way.form for way in self.order if way[:2] == (runtime, threads)), WHOLE)

    def describe(self) -> dict[str, Any]:
        """Say it for the manifest."""
        return {
            "processor": self.processor,
            "instruction_sets": list(self.instruction_sets),
            "processors": self.processors,
            "rounds": self.rounds,
            "measured": [{**_describe(way), "median_ms": self.median_ms[way]} for way in self.order],
            "chosen": _describe(self.order[0]),
            **({} if self.split_cosine is None else {"split_cosine": self.split_cosine}),
        }


def _describe(way: Way) -> dict[str, Any]:
    told = way._asdict()
    return told if way.form != WHOLE else {name: told[name] for name in ("runtime", "threads")}


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
        {Way(way["runtime"], way["threads"], way.get("form", WHOLE)): way["median_ms"] for way in told["measured"]},
        told.get("split_cosine"),
    )


def choose_image_graph(manifest: Manifest, runtime: str, threads: int | None) -> str:
    """Return the file of the image graph that a back end is to load here; threads: None for every processor."""
    tuning = read_tuning(manifest)
    if tuning is None or not tuning.is_of_here or not manifest.lists(SPLIT_GRAPH):
        return IMAGE_GRAPH
    return SPLIT_GRAPH if tuning.find_form(runtime, threads or default_threads()) == SPLIT else IMAGE_GRAPH
