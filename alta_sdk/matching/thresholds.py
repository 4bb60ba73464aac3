"""A site's own thresholds, in a sidecar file of the engine: NAME.thresholds.json beside NAME.alta.

The engine itself is under hashes and never changed. The file is bound to the engine's hash, and each
threshold to the fusion mode, the prompts and the temperature that its scores were made with: with any
other, a score means something else, and no decision is given. No study and no patient is in it.

Two processes that calibrate two labels must both be in the file: it is read, changed and written under one lock. A
threshold that a clinic works with is replaced only when that is said, and its earlier values stay in the file.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.bundle import Bundle
from ..engine.clock import tell_time
from ..engine.label_sets import LabelSet
from ..errors import CalibrationError
from ..files.atomic import new_file
from ..files.locking import hold_lock
from ..files.opening import open_file
from ..statistics.intervals import Proportion
from .operating_point import OperatingPoint, Target, Truth, check_truth, choose_operating_point

SCHEMA_VERSION = 1
WITH_HISTORY = 2  # the version of a file in which a threshold was replaced: an older SDK asks to be upgraded
MAX_BYTES = 1 << 20
KEPT = 20  # earlier thresholds of one kind of score
LOCK_TIMEOUT_S = 60.0
_ADVICE = "remove NAME.thresholds.json, then calibrate again"


@dataclass(frozen=True)
class ScoreBinding:
    """What a score was made with: the label, the fusion mode, the prompts' SHA-256, the logit scale."""

    label: str
    fusion_mode: str
    prompts: str
    logit_scale: float


@dataclass(frozen=True)
class Threshold:
    """One label's threshold, what was aimed at, and what it reached on the studies that chose it."""

    binding: ScoreBinding
    target: str
    at_least: float | None
    point: OperatingPoint

    @property
    def aim(self) -> str:
        """What was aimed at, in words: "youden", "sensitivity 0.95"."""
        return self.target if self.at_least is None else f"{self.target} {self.at_least:g}"


@dataclass(frozen=True)
class Decision:
    """Whether a score reaches its label's threshold."""

    is_above: bool
    threshold: float


def decide(scores: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, Decision]:
    """Return the decision for each label that has a threshold."""
    return {name: Decision(scores[name] >= limit, limit) for name, limit in limits.items()}


@dataclass(frozen=True)
class EarlierThreshold:
    """A threshold that another took the place of, and when: ISO 8601, UTC."""

    threshold: Threshold
    replaced_at: str


@dataclass(frozen=True)
class Thresholds:
    """All thresholds of one engine, by what they are bound to; history: those before, the oldest first."""

    engine: str
    entries: Mapping[ScoreBinding, Threshold]
    history: tuple[EarlierThreshold, ...] = field(default=())

    @cached_property
    def sha256(self) -> str | None:
        """The SHA-256 of the file that holds them, None where there is none: it is written in one way alone."""
        return hashlib.sha256(_render(self)).hexdigest() if self.entries or self.history else None

    def select(self, labels: LabelSet, mode: str, logit_scale: float) -> dict[str, float]:
        """Return the thresholds that were made for scores of exactly this kind, by label."""
        return {name: one.point.threshold for name, one in self.find(labels, mode, logit_scale).items()}

    def find(self, labels: LabelSet, mode: str, logit_scale: float) -> dict[str, Threshold]:
        """Return the same with all that is known of each."""
        if not self.entries:
            return {}
        bindings = {name: bind_score(name, labels, mode, logit_scale) for name in labels}
        return {name: self.entries[key] for name, key in bindings.items() if key in self.entries}

    def adding(self, threshold: Threshold) -> "Thresholds":
        """Return these with one more; an older one for the same scores goes into the history."""
        binding, history = threshold.binding, self.history
        if binding in self.entries:
            now = tell_time()
            same = [number for number, one in enumerate(history) if one.threshold.binding == binding]
            too_old = same[: max(0, len(same) + 1 - KEPT)]
            kept = (one for number, one in enumerate(history) if number not in too_old)
            history = (*kept, EarlierThreshold(self.entries[binding], now))
        return replace(self, entries={**self.entries, binding: threshold}, history=history)


def bind_score(label: str, labels: LabelSet, mode: str, logit_scale: float) -> ScoreBinding:
    """Say what a label's score depends on: its own prompts, or the whole set where labels compete."""
    own = {label: labels[label]} if labels[label].negative else labels
    return ScoreBinding(label, mode, hash_prompts(own), float(logit_scale))


def hash_prompts(labels: LabelSet) -> str:
    """Return the SHA-256 of labels' names and prompts: of a JSON object {name: [[positive…], [negative…]]}.

    Written as Python's json does, keys in order and in ASCII.
    """
    prompts = {name: [list(one.positive), list(one.negative)] for name, one in labels.items()}
    text = json.dumps(prompts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_truth(truth: Sequence[Any], count: int, target: Target, at_least: float | None) -> Truth:
    """Return truth (n,) bool of what a caller gave: one True, False, 1 or 0 for each of `count` studies.

    Raises CalibrationError if it is not so, or no threshold can be chosen with it.
    """
    values = list(truth)
    if len(values) != count or not all(value in (0, 1) for value in values):
        raise CalibrationError("truth must be one True or False (1 or 0) for each study")
    known = np.array(values, dtype=bool)
    check_truth(known, target, at_least)
    return known


def choose_threshold(
    binding: ScoreBinding,
    scores: Sequence[float],
    truth: Truth,
    target: Target,
    at_least: float | None,
    patients: NDArray[Any] | None = None,
) -> Threshold:
    """Choose the threshold of scores (n,) for truth (n,) bool; raises what `choose_operating_point` raises."""
    point = choose_operating_point(np.array(scores, dtype=np.float64), truth, target, at_least, patients=patients)
    return Threshold(binding, target, at_least, point)


def locate_sidecar(bundle: Bundle) -> Path:
    """Return the path of an engine's thresholds: beside it, never in it."""
    folder = bundle.folder.resolve()
    return folder.with_name(folder.name.removesuffix(".alta") + ".thresholds.json")


def load_thresholds(bundle: Bundle) -> Thresholds:
    """Read the thresholds of an engine; none if there is no file.

    Raises CalibrationError if the file is of another engine, of a newer format, damaged or edited.
    """
    engine = bundle.manifest.sha256
    try:
        with open_file(locate_sidecar(bundle)) as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Thresholds(engine, {})
    except OSError as error:
        raise CalibrationError(f"thresholds file cannot be read: {error.strerror}; {_ADVICE}") from error
    try:
        content = json.loads(data)
        if content["schema_version"] not in (SCHEMA_VERSION, WITH_HISTORY):
            raise CalibrationError("thresholds file is of another version than this SDK reads: upgrade alta-sdk")
        history = tuple(
            EarlierThreshold(_parse(one["threshold"]), one["replaced_at"]) for one in content.get("history", ())
        )
        found = Thresholds(content["engine"], {t.binding: t for t in map(_parse, content["thresholds"])}, history)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CalibrationError(f"thresholds file is damaged: {_ADVICE}") from error
    if len(data) > MAX_BYTES or _render(found) != data:
        raise CalibrationError(f"thresholds file was changed after it was written: {_ADVICE}")
    if found.engine != engine:
        raise CalibrationError(f"thresholds file beside the engine belongs to another engine: {_ADVICE}")
    return found


def save_thresholds(thresholds: Thresholds, bundle: Bundle) -> Path:
    """Write an engine's thresholds in one step; raise CalibrationError if the disk refuses it."""
    path, data = locate_sidecar(bundle), _render(thresholds)
    if len(data) > MAX_BYTES:
        raise CalibrationError(f"thresholds file would have more than {MAX_BYTES >> 20} MiB: {_ADVICE}")
    try:
        with new_file(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise CalibrationError(f"thresholds cannot be written beside the engine: {error.strerror}") from error
    return path


def check_absent(bindings: Iterable[ScoreBinding], thresholds: Thresholds, *, overwrite: bool) -> None:
    """Raise CalibrationError if there is a threshold of one of these kinds already, which must not be replaced."""
    for binding in bindings:
        if binding in thresholds.entries and not overwrite:
            raise CalibrationError(
                "this engine has a threshold for such scores of that label already: replace it with overwrite "
                "(--overwrite); the earlier one stays in the file's history"
            )


def keep_thresholds(chosen: Sequence[Threshold], bundle: Bundle, *, overwrite: bool) -> Thresholds:
    """Write thresholds to those beside an engine, as they are there now, all or none; return them all.

    Nobody else writes between the reading and the writing. Raises CalibrationError if one is there already and
    overwrite is False, if another program writes for longer than a minute, or the disk refuses it.
    """
    path = locate_sidecar(bundle)
    try:
        with hold_lock(path.with_name(f".{path.name}.lock"), LOCK_TIMEOUT_S):
            thresholds = load_thresholds(bundle)
            check_absent([one.binding for one in chosen], thresholds, overwrite=overwrite)
            for threshold in chosen:
                thresholds = thresholds.adding(threshold)
            save_thresholds(thresholds, bundle)
    except TimeoutError as error:
        raise CalibrationError("another program has been writing this engine's thresholds: try again") from error
    except OSError as error:
        raise CalibrationError(f"thresholds cannot be written beside the engine: {error.strerror}") from error
    return thresholds


def _render(thresholds: Thresholds) -> bytes:
    content: dict[str, Any] = {
        "schema_version": WITH_HISTORY if thresholds.history else SCHEMA_VERSION,
        "engine": thresholds.engine,
        "thresholds": [asdict(thresholds.entries[key]) for key in sorted(thresholds.entries, key=repr)],
    }
    if thresholds.history:
        content["history"] = [asdict(one) for one in thresholds.history]
    seal = hashlib.sha256(_canonical(content)).hexdigest()
    return _canonical({**content, "sha256": seal})


def _canonical(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


def _parse(entry: dict[str, Any]) -> Threshold:
    point = dict(entry["point"])
    for name in ("sensitivity", "specificity"):
        point[name] = Proportion(**point[name])
    return Threshold(**{**entry, "binding": ScoreBinding(**entry["binding"]), "point": OperatingPoint(**point)})
