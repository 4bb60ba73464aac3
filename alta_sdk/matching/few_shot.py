"""Learn a finding from a few studies on the workstation: prototypes of the studies, mixed with the text.

With x a study's unit vector, p⁺ and p⁻ the prompts' and m⁺ and m⁻ the means of the given studies:

    t(x) = x · unit(p⁺ - p⁻)      what the text says
    v(x) = x · unit(m⁺ - m⁻)      what the examples say
    f(x) = (1 - weight) t(x) / sd(t) + weight v(x) / sd(v)
    score = 1 / (1 + exp(-slope (f(x) - offset)))

sd is the spread within the classes; the two are divided by it because images and texts lie in two cones
and t moves far less than v. A given study's own v is always taken without that study (leave one out).
slope and offset are those of two Gaussians of equal spread and equal frequency (linear discriminant).
Sources: class means in an embedding, Snell et al., NeurIPS 2017; mixing them with the text's classifier,
Zhang et al. (Tip-Adapter), ECCV 2022. What it gained where it was measured: `docs/thresholds.md`.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from ..engine.engine import Engine
from ..engine.label_sets import Label
from ..engine.vectors import Vector, require_finite, to_unit_length
from ..errors import CalibrationError, EngineError, PromptError
from ..statistics.auc import compute_auc
from .embeddings import ONE_STUDY, OneStudy, StudyEmbedding, check_vector, require_one_mode
from .prompts import make_pair, read_label
from .scoring import average_prompts
from .unknown_words import check_labels

MIN_PER_KIND = 4
WEIGHT = 0.5
Rows = NDArray[np.float64]


class Embed(Protocol):
    """What embeds a study, or each study of a list, as `Matcher.embed` does."""

    @overload
    def __call__(self, study: OneStudy) -> StudyEmbedding: ...  # type: ignore[overload-overlap]  # a str is a path
    @overload
    def __call__(self, study: Sequence[OneStudy]) -> list[StudyEmbedding]: ...


@dataclass(frozen=True)
class FewShotFit:
    """What was learned: f(x) = x · direction, and its way to a score.

    direction: (d,) float64. separation: the area under the ROC curve on the given studies, each left out
    of its own prototype.
    """

    direction: Rows
    offset: float
    slope: float
    weight: float
    separation: float

    def score_vectors(self, vectors: NDArray[np.floating[Any]]) -> Rows:
        """Return scores between 0 and 1 of unit vectors (n, d)."""
        logits = self.slope * (vectors.astype(np.float64) @ self.direction - self.offset)
        scores: Rows = 1 / (1 + np.exp(-np.clip(logits, -700, 700)))
        return scores


@dataclass(frozen=True)
class TakeEmbeddings:
    """What stands for a Matcher where there is none: takes embeddings of its engine and fusion mode as they are."""

    engine: str
    mode: str

    def __call__(self, study: Any) -> Any:
        """Return one embedding or a list of them; raise EngineError for a study, or an embedding of another kind."""
        if isinstance(study, ONE_STUDY):
            if not isinstance(study, StudyEmbedding) or (study.engine, study.mode) != (self.engine, self.mode):
                raise EngineError("classifier was pickled and has no engine: give embeddings of its engine and mode")
            return study
        return [self(one) for one in study]


@dataclass(frozen=True)
class FewShotClassifier:
    """A finding learned from a few studies; scores more studies, embedded by the Matcher that made it.

    A copy shares the Matcher. One that was pickled has none, and scores embeddings alone.
    """

    fit: FewShotFit
    provenance: dict[str, Any]
    _embed: Embed = field(repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: not the Matcher, whose engine lies in this process."""
        origin = self.provenance
        return {**vars(self), "_embed": TakeEmbeddings(origin["engine_sha256"], origin["fusion_mode"])}

    def __deepcopy__(self, memo: dict[int, Any]) -> "FewShotClassifier":
        """Return a copy that embeds with the same Matcher."""
        return replace(self, fit=deepcopy(self.fit, memo), provenance=deepcopy(self.provenance, memo))

    def __copy__(self) -> "FewShotClassifier":
        """Return a copy that embeds with the same Matcher."""
        return replace(self)

    @overload
    def score(self, study: OneStudy) -> float: ...  # type: ignore[overload-overlap]  # a str is a path
    @overload
    def score(self, study: Sequence[OneStudy]) -> list[float]: ...
    def score(self, study: OneStudy | Sequence[OneStudy]) -> float | list[float]:
        """Return a score between 0 and 1 for a study, or for each of a list; raises what `embed` raises."""
        if isinstance(study, ONE_STUDY):
            return self._score(self._embed(study))
        return [self._score(one) for one in self._embed(study)]

    def _score(self, embedding: StudyEmbedding) -> float:
        if embedding.mode != self.provenance["fusion_mode"]:
            raise EngineError("classifier was fitted to studies of another kind: give all of them a prior, or none")
        vector = check_vector(embedding, len(self.fit.direction))
        return float(self.fit.score_vectors(vector[None])[0])


def fit_few_shot(
    engine: Engine,
    embed: Embed,
    label: str | Label,
    positives: Sequence[OneStudy],
    negatives: Sequence[OneStudy],
) -> FewShotClassifier:
    """Fit a classifier; `Matcher.fit_few_shot` says what it raises. embed: embeds studies."""
    check_examples(len(positives), len(negatives))
    average = engine.manifest.prompt_average
    pair = make_pair(label, engine.manifest.prompt_pair) if isinstance(label, str) else read_label(label)
    if not pair.positive or not pair.negative:
        raise PromptError("a few-shot label needs positive and negative prompts: give both, or a name")
    notes = check_labels(engine, {"label": pair})
    shown, absent = embed(positives), embed(negatives)
    mode = require_one_mode((*shown, *absent))
    fit = fit_vectors(
        average_prompts(engine.project_prompts(pair.positive), average),
        average_prompts(engine.project_prompts(pair.negative), average),
        np.stack([one.vector for one in shown]),
        np.stack([one.vector for one in absent]),
    )
    require_finite(np.array([*fit.direction, fit.offset, fit.slope, fit.separation]), "numbers of the fit are")
    if fit.separation <= 0.5:
        raise CalibrationError("the given studies do not separate: positives score no higher than negatives")
    told = {
        "fusion_mode": mode,
        "positives": len(positives),
        "negatives": len(negatives),
        "weight": fit.weight,
        "left_out_auc": fit.separation,
        "prompt_reading": notes,
    }
    return FewShotClassifier(fit, {**engine.provenance, **told}, embed)


def check_examples(positives: int, negatives: int) -> None:
    """Raise CalibrationError if there are too few studies of a kind."""
    if min(positives, negatives) < MIN_PER_KIND:
        raise CalibrationError(
            f"{positives} positive and {negatives} negative studies: few-shot learning needs {MIN_PER_KIND} of each"
        )


def fit_vectors(
    positive_text: Vector, negative_text: Vector, positives: Vector, negatives: Vector, weight: float = WEIGHT
) -> FewShotFit:
    """Fit to unit vectors: of the prompts (d,), and of the studies (n, d) of each kind."""
    check_examples(len(positives), len(negatives))
    rows = np.concatenate([positives, negatives]).astype(np.float64)
    truth = np.repeat([True, False], [len(positives), len(negatives)])
    by_text = _turn(positive_text.astype(np.float64) - negative_text)
    by_study = _turn(rows[truth].mean(axis=0) - rows[~truth].mean(axis=0))
    text_scores = rows @ by_text
    study_scores = _score_left_out(rows, truth)
    parts = (1 - weight) / _spread(text_scores, truth), weight / _spread(study_scores, truth)
    scores = parts[0] * text_scores + parts[1] * study_scores
    separation = compute_auc(scores, truth)
    means = scores[truth].mean(), scores[~truth].mean()
    slope = (means[0] - means[1]) / _spread(scores, truth) ** 2
    return FewShotFit(parts[0] * by_text + parts[1] * by_study, float(sum(means) / 2), float(slope), weight, separation)


def _score_left_out(rows: Rows, truth: NDArray[np.bool_]) -> Rows:
    """Score each study with the prototypes of all the others."""
    scores = np.empty(len(rows))
    for row in range(len(rows)):
        others = np.arange(len(rows)) != row
        direction = _turn(rows[truth & others].mean(axis=0) - rows[~truth & others].mean(axis=0))
        scores[row] = rows[row] @ direction
    return scores


def _spread(scores: Rows, truth: NDArray[np.bool_]) -> float:
    """Return the standard deviation within the classes, pooled."""
    centred = np.concatenate([part - part.mean() for part in (scores[truth], scores[~truth])])
    return float(np.sqrt((centred**2).sum() / (len(scores) - 2))) or 1.0


def _turn(difference: Rows) -> Rows:
    return to_unit_length(difference).astype(np.float64)
