"""Drift in use: a site's distributions of scores and pictures kept, and later studies held against them.

No truth is needed, and none is looked at: what has moved may harm the scores, what has not may, too. The file holds,
for each label and each picture measure, quantiles of its numbers: no study, no path, no key, and nothing that links a
score with another.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.clock import tell_time
from ..errors import CalibrationError
from ..files.opening import open_file
from ..statistics.shift import Shift, correct_for_many, measure_shift
from .pictures import MEASURES
from .scored import EmbeddedStudy, EngineScores

KIND = "alta-sdk reference of scores"
HEAD = f'{{\n "kind": "{KIND}"'.encode()
SCHEMA_VERSION = 1
KEPT = 1001  # numbers of a distribution: all, or so many evenly spread quantiles
MAX_BYTES = 16 << 20
MIN_STUDIES = 30  # of a reference, and of later studies: fewer tell no movement
SURE = 0.01  # a p value, corrected for the number of distributions, under which one has moved
LARGE = 0.1  # and the least stability index beyond chance that counts as one
_ADVICE = "make it again: alta validate TABLE.csv --reference FILE"
_OTHER = (
    "reference is of another engine, fusion mode or prompts: its scores mean something else; give the engine that made "
    f"it, or {_ADVICE}"
)
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reference:
    """Distributions of a site. distributions: sorted numbers by name. prompts: what scores depend on, by label."""

    engine: str
    label_set: str | None
    fusion_mode: str
    logit_scale: float
    prompts: Mapping[str, str]
    studies: int
    distributions: Mapping[str, Floats]
    created: str

    @property
    def labels(self) -> list[str]:
        """The labels whose scores are in it."""
        return list(self.prompts)


@dataclass(frozen=True)
class Movement:
    """One distribution now. medians: of the reference and of now. p_value: corrected. has_moved: None of too few."""

    name: str
    reference_median: float
    median: float
    shift: Shift
    p_value: float
    has_moved: bool | None


def make_reference(engine: str, scored: EngineScores, studies: Sequence[EmbeddedStudy]) -> Reference:
    """Make a reference of scored studies; engine: its SHA-256. Raises CalibrationError for under 30 studies."""
    if len(studies) < MIN_STUDIES:
        raise CalibrationError(f"a reference of scores (--reference) needs {MIN_STUDIES} studies: give more")
    question = scored.question
    label_set: Any = question.provenance["label_set"]
    return Reference(
        engine,
        label_set,
        scored.mode,
        question.logit_scale,
        {label: scored.hash_prompts(label) for label in scored.scores},
        len(studies),
        {name: _thin(values) for name, values in collect_distributions(scored, studies).items()},
        tell_time(),
    )


def collect_distributions(scored: EngineScores, studies: Sequence[EmbeddedStudy]) -> dict[str, Floats]:
    """Return the numbers of each distribution, by its name: scores by label, then what the pictures are like."""
    scores = {f"score of {label}": values for label, values in scored.scores.items()}
    return scores | {name: np.array([one.picture[name] for one in studies]) for name in MEASURES}


def check_same_engine(reference: Reference, engine: str) -> None:
    """Raise CalibrationError unless the engine of this SHA-256 made a reference: known before any study is read."""
    if engine != reference.engine:
        raise CalibrationError(_OTHER)


def check_same_scores(reference: Reference, engine: str, scored: EngineScores) -> None:
    """Raise CalibrationError unless scores are of the engine, prompts, mode and scale of a reference."""
    prompts = {label: scored.hash_prompts(label) for label in scored.scores}
    now = (engine, scored.mode, scored.question.logit_scale, prompts)
    if now != (reference.engine, reference.fusion_mode, reference.logit_scale, dict(reference.prompts)):
        raise CalibrationError(_OTHER)


def measure_movements(reference: Reference, now: Mapping[str, Floats]) -> list[Movement]:
    """Hold later numbers, by name, against a reference: one movement for each distribution that it has."""
    shifts = {
        name: measure_shift(values, now[name], reference.studies) for name, values in reference.distributions.items()
    }
    corrected = correct_for_many([shift.p_value for shift in shifts.values()])
    found = []
    for (name, shift), p_value in zip(shifts.items(), corrected, strict=True):
        is_large = shift.stability_index - shift.by_chance >= LARGE
        has_moved = None if shift.count < MIN_STUDIES else p_value < SURE and is_large
        before, after = (float(np.median(part)) for part in (reference.distributions[name], now[name]))
        found.append(Movement(name, before, after, shift, p_value, has_moved))
    return found


def name_labels(reference: Reference) -> str | list[str]:
    """Return what to ask for the reference's scores: its label set, or its labels."""
    return reference.label_set or reference.labels


def is_reference(head: bytes) -> bool:
    """Tell by its first bytes whether a file is a reference."""
    return head.startswith(HEAD)


def render_reference(reference: Reference) -> str:
    """Return the text of a reference's file."""
    content = {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "created": reference.created,
        "engine_sha256": reference.engine,
        "label_set": reference.label_set,
        "fusion_mode": reference.fusion_mode,
        "logit_scale": reference.logit_scale,
        "prompts": dict(reference.prompts),
        "studies": reference.studies,
        "distributions": {name: values.tolist() for name, values in reference.distributions.items()},
    }
    return json.dumps(content, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def read_reference(path: Path) -> Reference:
    """Read a reference; raises CalibrationError if it is none, is damaged, or of another version."""
    try:
        with open_file(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CalibrationError(f"reference of scores cannot be read: {error.strerror}; {_ADVICE}") from error
    if len(data) > MAX_BYTES or not is_reference(data):
        raise CalibrationError(f"the file given as --reference is no reference of scores: {_ADVICE}")
    try:
        content = json.loads(data)
        version = content["schema_version"]
        reference = _parse(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise CalibrationError(f"reference of scores is damaged: {_ADVICE}") from error
    if version != SCHEMA_VERSION:
        raise CalibrationError("reference of scores is of another version than this SDK reads: upgrade alta-sdk")
    return reference


def _parse(content: dict[str, Any]) -> Reference:
    names = [f"score of {label}" for label in content["prompts"]] + list(MEASURES)
    distributions = {name: np.array(content["distributions"][name], dtype=np.float64) for name in names}
    for values in distributions.values():
        if values.ndim != 1 or not 0 < len(values) <= KEPT or not np.isfinite(values).all():
            raise ValueError("numbers")
    prompts = {str(label): str(digest) for label, digest in content["prompts"].items()}
    label_set = content["label_set"]
    return Reference(
        str(content["engine_sha256"]),
        None if label_set is None else str(label_set),
        str(content["fusion_mode"]),
        float(content["logit_scale"]),
        prompts,
        int(content["studies"]),
        distributions,
        str(content["created"]),
    )


def _thin(values: Floats) -> Floats:
    ordered: Floats = np.sort(values)
    return ordered if len(ordered) <= KEPT else np.quantile(ordered, np.linspace(0, 1, KEPT))
