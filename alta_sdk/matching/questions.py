"""What is asked of every study of a call, made ready once: labels, their embeddings, the scale, the thresholds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..engine.engine import Engine
from ..engine.fusion import list_used_modes
from ..engine.label_sets import LabelSet
from ..engine.vectors import Vector, require_finite
from ..errors import PromptError
from .audit_log import AuditLog
from .embeddings import StudyEmbedding
from .prompts import Labels, make_pair, resolve_labels
from .results import ZeroShotResult
from .scoring import average_prompts, score_labels
from .thresholds import ScoreBinding, Thresholds, bind_score, check_absent, decide, hash_prompts
from .unknown_words import check_labels

Temperature = float | Literal["engine"] | None


@dataclass(frozen=True, eq=False)
class Question:
    """Labels with the unit vectors of their positive and negative prompts; what computes.

    limits: thresholds by label, by the fusion mode that was used for a study; aims: what they were chosen for.
    audit: where each answer is noted, but for those of a study of which nothing is told.
    """

    labels: LabelSet
    text: Mapping[str, tuple[Vector, Vector | None]]
    logit_scale: float
    provenance: Mapping[str, object]
    limits: Mapping[str, Mapping[str, float]]
    aims: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    audit: AuditLog | None = None

    def answer(self, study: StudyEmbedding, origin: Mapping[str, object]) -> ZeroShotResult:
        """Score one study; origin: what the provenance says of it; raises EngineError unless scores are finite."""
        scores = score_labels(study.vector, self.labels, self.text, self.logit_scale)
        require_finite(np.array(list(scores.values())), "scores are")
        aims = self.aims.get(study.mode)
        told = {**self.provenance, **({"threshold_targets": dict(aims)} if aims else {}), **origin}
        if self.audit is not None and origin:
            self.audit.note("scored", told, scores=scores)
        return ZeroShotResult(scores, told, decide(scores, self.limits[study.mode]))

    @property
    def notes(self) -> Sequence[str]:
        """What must be told of the labels' words."""
        notes: Any = self.provenance["prompt_reading"]
        return list(notes)

    def bind(self, label: str, mode: str) -> ScoreBinding:
        """Say what the scores of a label depend on, for studies that were embedded in a mode."""
        return bind_score(label, self.labels, mode, self.logit_scale)

    def list_taken(self, label: str, thresholds: Thresholds) -> list[ScoreBinding]:
        """Return the kinds of scores that a label may have here if there is a threshold for each, else nothing."""
        kinds = [self.bind(label, mode) for mode in self.limits]
        return kinds if all(kind in thresholds.entries for kind in kinds) else []


def ask_question(
    engine: Engine,
    labels: Labels,
    temperature: Temperature,
    mode: str,
    thresholds: Thresholds,
    provenance: Mapping[str, object],
    audit: AuditLog | None = None,
) -> Question:
    """Resolve labels and embed their prompts; raises PromptError for labels or a temperature that cannot be used.

    The provenance says which labels have words that the engine does not know.
    """
    resolved = resolve_labels(labels, engine.label_sets, engine.manifest.prompt_pair)
    logit_scale = choose_logit_scale(temperature, engine.manifest.logit_scale)
    found = {used: thresholds.find(resolved, used, logit_scale) for used in list_used_modes(mode)}
    limits = {used: {name: one.point.threshold for name, one in kinds.items()} for used, kinds in found.items()}
    aims = {used: {name: one.aim for name, one in kinds.items()} for used, kinds in found.items()}
    text = embed_labels(engine, resolved)
    asked = {
        "logit_scale": logit_scale,
        "label_set": labels if isinstance(labels, str) else None,
        "prompt_reading": check_labels(engine, resolved),
        "prompts_sha256": hash_prompts(resolved),
        "prompt_templates": list_templates(resolved, engine.manifest.prompt_pair),
        "thresholds_sha256": thresholds.sha256,
    }
    return Question(resolved, text, logit_scale, {**provenance, **asked}, limits, aims, audit)


def list_templates(labels: LabelSet, pair: tuple[str, str]) -> list[str]:
    """Return the engine's two templates if a label is asked by them, else nothing."""
    asked = {name: (*label.positive, *label.negative) for name, label in labels.items()}
    by_pair = {name: make_pair(name, pair) for name in labels}
    is_used = any(prompts == (*by_pair[name].positive, *by_pair[name].negative) for name, prompts in asked.items())
    return list(pair) if is_used else []


def check_free(questions: Mapping[str, Question], thresholds: Thresholds, *, overwrite: bool) -> None:
    """Raise CalibrationError if a label has a threshold for every kind of score already, which must not be replaced."""
    taken = [binding for label, question in questions.items() for binding in question.list_taken(label, thresholds)]
    check_absent(taken, thresholds, overwrite=overwrite)


def choose_logit_scale(temperature: Temperature, learned: float) -> float:
    """Return what cosines are multiplied by before the softmax; learned: the engine's own."""
    if temperature is None:
        return 1.0
    if isinstance(temperature, str) and temperature == "engine":
        return learned
    is_number = isinstance(temperature, int | float | np.number) and not isinstance(temperature, bool)
    if not is_number or not 0 < temperature < math.inf > 1.0 / temperature:
        raise PromptError('temperature must be a positive number, "engine" or None')
    return 1.0 / temperature


def embed_labels(engine: Engine, labels: LabelSet) -> dict[str, tuple[Vector, Vector | None]]:
    """Return the unit vectors of each label's positive and negative prompts; None where it has no negative ones."""
    prompts = [prompt for label in labels.values() for prompt in (*label.positive, *label.negative)]
    engine.project_prompts(prompts)  # all at once: full batches, then the cache answers

    def embed(group: Sequence[str]) -> Vector:
        return average_prompts(engine.project_prompts(group), engine.manifest.prompt_average)

    return {
        name: (embed(label.positive), embed(label.negative) if label.negative else None)
        for name, label in labels.items()
    }
