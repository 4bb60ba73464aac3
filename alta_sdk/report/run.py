"""What a run over many studies found, as data: one row a study, for a table, a CSV file or a page.

No identifier is in it unless the caller gives one: a study is named by its number in the run and its opaque key.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..engine.clock import tell_time
from ..engine.label_sets import LabelSet
from ..files.tables import show_cell
from ..locate.heatmap import Heatmap
from ..locate.overlay import OPACITY, Limits, Rgb, blend
from ..study.geometry import Geometry
from ..study.naming import Failure
from .pictures import SmallPicture

SMALL_PX = 320  # the longer side of a heat map in a report
IDENTIFIERS = ("path", "study_instance_uid", "accession_number")
PROVENANCE = ("engine", "engine_sha256", "precision", "runtime", "fusion_mode")
MORE_PROVENANCE = (
    "sdk_version",
    "device",
    "processor",
    "instruction_sets",
    "signature",
    "signed_by",
    "logit_scale",
    "label_set",
    "prompts_sha256",
    "prompt_templates",
    "thresholds_sha256",
    "threshold_targets",
    "notices",
)
ORIGIN = ("decoders", "pixels_sha256", "scored_at")  # of each study


@dataclass(frozen=True, eq=False)
class SmallMap:
    """A heat map as a report shows it: the phrase's number, both cosines, the patches, a small radiograph.

    limits: the lowest and the highest similarity. geometry: what maps patches to pixels.
    """

    phrase: int
    cosine: float
    local_cosine: float
    patches: NDArray[np.float32]
    grey_u8: NDArray[np.uint8]
    limits: Limits
    geometry: Geometry

    @classmethod
    def of(cls, heatmap: Heatmap, phrase: int) -> "SmallMap":
        """Shrink a heat map, so that a run of many studies stays small in memory and on the page."""
        grey = Image.fromarray(heatmap.grey_u8)
        grey.thumbnail((SMALL_PX, SMALL_PX))
        small, own = np.asarray(grey), heatmap
        return cls(phrase, own.cosine, own.local_cosine, own.patches, small, own.limits, own.geometry)

    def paint(self, limits: Limits) -> Rgb:
        """Return the small radiograph with the map on it: (height, width, 3) uint8."""
        height, width = self.grey_u8.shape[:2]
        return blend(self.grey_u8, self.geometry.map_to_radiograph(self.patches, height, width), limits, OPACITY)


@dataclass(frozen=True, eq=False)
class ReportRow:
    """One study: its scores by label, or why there are none.

    thresholds: by label, where this site has chosen them. notices: what must be told of its radiographs.
    fusion_mode: the one that was used for it; empty for that of the run. key: opaque, empty if it has none. path,
    study_instance_uid, accession_number: only if the caller wants identifiers.
    origin: what its provenance alone says: decoders and hashes of the pixels by slot, when it was scored.
    pictures: its radiographs, only if the caller wants them.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    slots: Sequence[str] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    maps: Sequence[SmallMap] = ()
    notices: Sequence[str] = ()
    fusion_mode: str = ""
    error: Failure | None = None
    key: str = ""
    path: str = ""
    study_instance_uid: str = ""
    accession_number: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict)
    pictures: Sequence[SmallPicture] = ()


@dataclass(frozen=True, eq=False)
class RunReport:
    """One run. provenance: of the scores, empty if there are none. phrases: what the heat maps are of.

    terms: what the engine is for, its licence and what else its manifest tells who reads scores, by name.
    prompts: of the labels. card: facts of the engine's model card, by name.
    """

    rows: Sequence[ReportRow]
    provenance: Mapping[str, Any]
    phrases: Sequence[str] = ()
    terms: Mapping[str, str] = field(default_factory=dict)
    prompts: LabelSet = field(default_factory=dict)
    card: Sequence[tuple[str, str]] = ()
    created: str = field(default_factory=tell_time)

    @property
    def labels(self) -> list[str]:
        """The labels that were scored, in their order."""
        return next((list(row.scores) for row in self.rows if row.scores), [])

    @property
    def has_paths(self) -> bool:
        """True if the caller asked for identifiers."""
        return any(row.path for row in self.rows)

    @property
    def has_modes(self) -> bool:
        """True if not all studies were embedded in one fusion mode: some have a prior that is read, and some none."""
        return len({row.fusion_mode for row in self.rows if row.scores}) > 1

    def limits_of(self, phrase: int) -> Limits:
        """The lowest and the highest similarity of a phrase over all studies: one scale, so that maps compare."""
        limits = [one.limits for row in self.rows for one in row.maps if one.phrase == phrase]
        return min(low for low, _ in limits), max(high for _, high in limits)


def is_csv(head: bytes) -> bool:
    """Tell by its first line whether a file is such a table."""
    columns = head.splitlines()[0]
    return columns.startswith((b"number,", b"study,")) and b",engine_sha256," in columns  # study: of older versions


def render_csv(report: RunReport) -> str:
    """Return a table with a line for each study: number, key, scores, thresholds if any, error, notices, provenance.

    With identifiers, if the rows have them, behind the key. reading: what must be told of the study's radiographs;
    notices: of the engine. No cell is one that a spreadsheet would run. A last column, prompt_reading, is there if the
    engine knows not all words of the labels, and family if that is not ALTA.
    """
    limited = [name for name in report.labels if any(name in row.thresholds for row in report.rows)]
    named = ["number", "key", *(IDENTIFIERS if report.has_paths else ())]
    limits_of = [f"threshold {name}" for name in limited]
    columns = [*named, *report.labels, *limits_of, "slots", "error_class", "error_message", "reading", *ORIGIN]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    notes = " | ".join(report.provenance.get("prompt_reading", ()))
    told = {"prompt_reading": notes} if notes else {}
    told |= {"family": report.provenance["family"]} if "family" in report.provenance else {}
    origin: dict[str, Any] = {name: report.provenance.get(name, "") for name in PROVENANCE}
    origin |= {name: say_value(report.provenance.get(name), " | ") for name in MORE_PROVENANCE} | told
    writer.writerow(map(show_cell, [*columns, *origin]))
    for number, row in enumerate(report.rows, start=1):
        scores = [row.scores.get(name, "") for name in report.labels]
        limits = [row.thresholds.get(name, "") for name in limited]
        names = [getattr(row, name) for name in named[1:]]
        failed = [row.error.kind, row.error.message] if row.error else ["", ""]
        told_of = [*failed, " | ".join(row.notices), *(say_value(row.origin.get(name), " | ") for name in ORIGIN)]
        own = {**origin, "fusion_mode": row.fusion_mode or origin["fusion_mode"]}
        cells = [number, *names, *scores, *limits, "|".join(row.slots), *told_of, *own.values()]
        writer.writerow(map(show_cell, cells))
    return buffer.getvalue()


def say_value(value: object, between: str = ", ") -> str:
    """Write a value of the provenance as text; one of several, and names with theirs, one after the other."""
    if isinstance(value, Mapping):
        return between.join(f"{name}: {one}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return between.join(map(str, value))
    return "" if value is None else str(value)
