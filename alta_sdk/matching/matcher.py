"""Match studies with prompts: the expensive half (a study) and the cheap half (prompts) are two calls."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from ..dicom.files import PathLike
from ..dicom.intensity import AS_STORED
from ..engine.engine import Engine
from ..engine.fusion import Vector, check_mode, choose_slots, fuse_slots, to_unit_length
from ..errors import EngineError, PromptError
from ..locate.heatmap import Heatmap
from ..locate.phrase import locate_phrase
from ..study.comparison import OneSide, load_pair
from ..study.read_ahead import ReadAhead
from ..study.study import Slot, Study, load_study
from .few_shot import FewShotClassifier, fit_few_shot
from .operating_point import Target, check_truth, choose_operating_point
from .prompts import Label, Labels, LabelSet, resolve_labels
from .ranking import Ranking, rank_reports
from .results import Comparison, StudyEmbedding, ZeroShotResult
from .scoring import average_prompts, score_labels
from .thresholds import Threshold, bind_score, decide, load_thresholds, read_truth, save_thresholds

OneStudy = Study | StudyEmbedding | PathLike
Temperature = float | Literal["engine"] | None
_ONE = (Study, StudyEmbedding, str, os.PathLike)


@dataclass(frozen=True, eq=False)
class _Question:
    """What is asked of every study of a call: labels, their embeddings, the scale, what computes, thresholds."""

    labels: LabelSet
    text: Mapping[str, tuple[Vector, Vector | None]]
    logit_scale: float
    provenance: Mapping[str, object]
    limits: Mapping[str, float]


class Matcher:
    """Embeds studies and prompts with one engine and scores them; safe to share between threads."""

    def __init__(
        self,
        engine: Engine | PathLike,
        *,
        device: str = "auto",
        runtime: str | None = None,
        threads: int | None = None,
        fusion_mode: str | None = None,
        allow_build: bool = False,
    ) -> None:
        """Open an engine (a bundle's path, or one already open).

        device: "auto", "cpu" or "cuda"; "auto" takes the GPU where a runtime here can use it.
        threads: inside one run; None takes every processor.
        fusion_mode: "frontal", "present" or "published"; None takes the engine's own.
        allow_build: build a TensorRT engine whose build was deferred, once; takes minutes.
        Raises EngineError, IntegrityError or RuntimeUnavailable; CalibrationError if the thresholds beside
        the engine are not its own.
        """
        if isinstance(engine, Engine):
            if (device, runtime, threads, allow_build) != ("auto", None, None, False):
                raise EngineError("engine is already open: choose device, runtime and threads in Engine.open")
            self.engine = engine
        else:
            self.engine = Engine.open(engine, device=device, runtime=runtime, threads=threads, allow_build=allow_build)
        self.fusion_mode = fusion_mode or self.engine.manifest.fusion_mode
        check_mode(self.fusion_mode)
        self.thresholds = load_thresholds(self.engine.bundle)

    @overload
    def embed(self, study: OneStudy) -> StudyEmbedding: ...  # type: ignore[overload-overlap]  # a str is a path
    @overload
    def embed(self, study: Sequence[OneStudy]) -> list[StudyEmbedding]: ...
    def embed(self, study: OneStudy | Sequence[OneStudy]) -> StudyEmbedding | list[StudyEmbedding]:
        """Embed a study, or each study of a list, in the fusion mode of this Matcher.

        A study may be a path: DICOM (file, folder, zip) or one frontal JPEG or PNG.
        Raises StudyError (also DicomError, ViewError) for one that cannot be read, EngineError for one
        that was read with another intensity profile than the engine's.
        """
        if isinstance(study, _ONE):
            return self._embed_one(study)[0]
        with ReadAhead(study, self._read) as read:
            return [self._embed_one(one)[0] for one in read]

    def embed_text(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Embed prompts: (n, embedding) float32, unit length; raises PromptError."""
        if isinstance(prompts, str):
            raise PromptError("prompts must be a list of phrases, not one string")
        return to_unit_length(self.engine.project_prompts(prompts))

    def score(self, study: OneStudy, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Return the cosine of a study with each prompt: (n,) float32."""
        text = self.embed_text(prompts)
        cosines: NDArray[np.float32] = text @ self._embed_one(study)[0].vector
        return cosines

    def locate(self, study: OneStudy, phrase: str, *, slot: Slot = Slot.FRONTAL) -> Heatmap:
        """Show where on a radiograph a phrase matches: word-and-patch similarity on its own pixels.

        slot: which radiograph of the study is drawn on.
        Raises EngineError for an engine that was exported without the patch graph, ViewError for a slot that is
        empty or that this fusion mode does not read, PromptError for a phrase that is empty or too long, and what
        `embed` raises.
        """
        return locate_phrase(self, study, phrase, slot)

    def rank(self, study: OneStudy, reports: Sequence[str]) -> Ranking:
        """Order reports by their cosine with a study, best first; those that are too long are cut, and told.

        Raises PromptError for no report or an empty one, and what `embed` raises.
        """
        embedding, origin = self._embed_one(study)
        return rank_reports(self.engine, embedding, reports, {**self.provenance, **origin})

    @overload
    def zero_shot(  # type: ignore[overload-overlap]  # a str is a path
        self, study: OneStudy, labels: Labels, *, temperature: Temperature = ...
    ) -> ZeroShotResult: ...
    @overload
    def zero_shot(
        self, study: Sequence[OneStudy], labels: Labels, *, temperature: Temperature = ...
    ) -> list[ZeroShotResult]: ...
    def zero_shot(
        self, study: OneStudy | Sequence[OneStudy], labels: Labels, *, temperature: Temperature = "engine"
    ) -> ZeroShotResult | list[ZeroShotResult]:
        """Score findings for a study, or for each study of a list.

        labels: names, a mapping of name to prompts or `Label`, or a named set ("chexpert5", "rsna").
        temperature: divides the cosines before the softmax; "engine" takes the engine's learned one,
        None none (the published protocol).
        Raises PromptError for labels that cannot be scored, and what `embed` raises.
        """
        if isinstance(study, _ONE):
            return self._answer(study, self._ask(labels, temperature))
        return list(self.iter_zero_shot(study, labels, temperature=temperature))

    def iter_zero_shot(
        self, studies: Iterable[OneStudy], labels: Labels, *, temperature: Temperature = "engine"
    ) -> Iterator[ZeroShotResult]:
        """Score studies one by one; a thread reads the next two meanwhile: memory does not grow with the list.

        A study that cannot be read raises at its turn. Closing the iterator ends the thread.
        """
        question = self._ask(labels, temperature)

        def answer_all() -> Iterator[ZeroShotResult]:
            with ReadAhead(studies, self._read) as read:
                for study in read:
                    yield self._answer(study, question)

        return answer_all()

    def compare(
        self, current: OneSide, prior: OneSide, labels: Labels, *, temperature: Temperature = "engine"
    ) -> Comparison:
        """Score a study and an earlier one for the same findings, like with like: both as current studies.

        Only the current views that both have are used, so that a change is not that of a view or of a
        prior that one of them lacks. Two DICOM paths are checked to be of one patient and in order of
        time; of studies and images that were read before, the caller has to know.
        Raises what `zero_shot` raises, and StudyError for a prior of another patient or that is not earlier.
        """
        pair = load_pair(current, prior, self.engine.manifest.intensity_profile)
        now, before = self.zero_shot(pair, labels, temperature=temperature)
        profiles = sorted({*now.provenance["intensity_profile"], *before.provenance["intensity_profile"]})
        both = {"intensity_profile": profiles, "prior_reading": before.provenance["reading"]}
        return Comparison(now.scores, before.scores, {**now.provenance, **both})

    def _read(self, study: OneStudy) -> Study | StudyEmbedding:
        if isinstance(study, Study | StudyEmbedding):
            return study
        return load_study(study, intensity_profile=self.engine.manifest.intensity_profile)

    def _ask(self, labels: Labels, temperature: Temperature) -> _Question:
        resolved = resolve_labels(labels, self.engine.label_sets)
        logit_scale = self._logit_scale(temperature)
        provenance = {
            **self.provenance,
            "logit_scale": logit_scale,
            "label_set": labels if isinstance(labels, str) else None,
        }
        limits = self.thresholds.select(resolved, self.fusion_mode, logit_scale)
        return _Question(resolved, self._embed_labels(resolved), logit_scale, provenance, limits)

    def calibrate(
        self,
        studies: Sequence[OneStudy],
        truth: Sequence[bool],
        label: str,
        *,
        labels: Labels | None = None,
        target: Target = "youden",
        at_least: float | None = None,
        temperature: Temperature = "engine",
    ) -> Threshold:
        """Choose a label's threshold on this site's own studies and keep it beside the engine.

        truth: whether each study shows the finding. labels, temperature: as in `zero_shot`, of which
        `label` is one; None takes the pair of `label`. target: "youden", or "sensitivity" or "specificity"
        of `at_least`. From then on `zero_shot` tells decisions for scores made in the same way.
        Raises CalibrationError for fewer than 20 studies of a class, or scores that do not separate them.
        """
        known = read_truth(truth, len(studies))
        check_truth(known, target, at_least)
        wanted = [label] if labels is None else labels
        resolved = resolve_labels(wanted, self.engine.label_sets)
        if label not in resolved:
            raise PromptError("the label to calibrate is not one of the labels: name one of them")
        scored = self.iter_zero_shot(studies, wanted, temperature=temperature)
        scores = np.array([result.scores[label] for result in scored], dtype=np.float64)
        point = choose_operating_point(scores, known, target, at_least)
        binding = bind_score(label, resolved, self.fusion_mode, self._logit_scale(temperature))
        threshold = Threshold(binding, target, at_least, point)
        self.thresholds = load_thresholds(self.engine.bundle).adding(threshold)
        save_thresholds(self.thresholds, self.engine.bundle)
        return threshold

    def fit_few_shot(
        self, label: str | Label, positives: Sequence[OneStudy], negatives: Sequence[OneStudy]
    ) -> FewShotClassifier:
        """Learn a finding from a few studies of each kind, mixed with what the text says of it.

        label: a name, or a `Label` with negative prompts. Raises CalibrationError for fewer than 4 studies
        of a kind, or examples that do not separate; PromptError; and what `embed` raises.
        """
        return fit_few_shot(self, label, positives, negatives)

    @property
    def provenance(self) -> dict[str, object]:
        """What computes, in which fusion mode, and the engine's notices."""
        notices = list(self.engine.manifest.notices)
        return {**self.engine.provenance, "fusion_mode": self.fusion_mode, "notices": notices}

    def _answer(self, study: OneStudy, question: _Question) -> ZeroShotResult:
        embedding, origin = self._embed_one(study)
        scores = score_labels(embedding.vector, question.labels, question.text, question.logit_scale)
        return ZeroShotResult(scores, {**question.provenance, **origin}, decide(scores, question.limits))

    def _embed_one(self, study: OneStudy) -> tuple[StudyEmbedding, Mapping[str, object]]:
        study = self._read(study)
        if isinstance(study, StudyEmbedding):
            if (study.mode, study.engine) != (self.fusion_mode, self.engine.manifest.sha256):
                raise EngineError("embedding is of another fusion mode or engine: embed the study with this Matcher")
            return study, {}
        profile = self.engine.manifest.intensity_profile
        slots = choose_slots(study.slots, self.fusion_mode)
        profiles = {study.radiographs[slot].intensity_profile for slot in slots}
        if not profiles <= {profile, AS_STORED}:
            raise EngineError(f'study was read with another intensity profile than the engine\'s "{profile}"')
        cls_by_slot = self.engine.encode_radiographs({slot: study.radiographs[slot] for slot in slots})
        fused = fuse_slots(cls_by_slot, self.fusion_mode, self.engine.head.missing_cls)
        vector = to_unit_length(self.engine.head.project(fused[None]))[0]
        origin = {
            "slots": [slot.name.lower() for slot in slots],
            "intensity_profile": sorted(profiles),
            "reading": study.read_notes(slots),
        }
        return StudyEmbedding(vector, self.fusion_mode, self.engine.manifest.sha256), origin

    def _embed_labels(self, labels: LabelSet) -> dict[str, tuple[Vector, Vector | None]]:
        prompts = [prompt for label in labels.values() for prompt in (*label.positive, *label.negative)]
        self.engine.project_prompts(prompts)  # all at once: full batches, then the cache answers

        def embed(group: Sequence[str]) -> Vector:
            return average_prompts(self.engine.project_prompts(group))

        return {
            name: (embed(label.positive), embed(label.negative) if label.negative else None)
            for name, label in labels.items()
        }

    def _logit_scale(self, temperature: Temperature) -> float:
        if temperature is None:
            return 1.0
        if temperature == "engine":
            return self.engine.manifest.logit_scale
        if isinstance(temperature, str) or not temperature > 0:
            raise PromptError('temperature must be a positive number, "engine" or None')
        return 1.0 / temperature
