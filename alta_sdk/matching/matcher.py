"""Match studies with prompts: the expensive half (a study) and the cheap half (prompts) are two calls."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from ..dicom.files import PathLike
from ..engine.closing import refuse_copy
from ..engine.engine import Engine
from ..engine.fusion import check_mode
from ..engine.label_sets import Label
from ..engine.manifest_content import PRIOR
from ..engine.prompt_words import list_texts
from ..engine.vectors import measure_cosines, to_unit_length
from ..locate.heatmap import Heatmap
from ..study.comparison import OneSide, ReadStudy, load_pair
from ..study.read_ahead import ReadAhead
from ..study.slots import Slot
from ..study.study import Study, load_study
from .audit_log import AuditLog, choose_audit, note, note_result
from .embeddings import ONE_STUDY, OneStudy, StudyEmbedding, embed_study, require_one_mode
from .engine_options import EngineOptions
from .few_shot import FewShotClassifier, fit_few_shot
from .locating import locate_in_study
from .operating_point import Target
from .progression import Progression, check_reads_priors, embed_with_prior, find_groups
from .prompts import Labels, check_label
from .questions import Question, Temperature, ask_question, check_free
from .ranking import Ranking, rank_reports
from .results import Comparison, ZeroShotResult
from .thresholds import Threshold, choose_threshold, keep_thresholds, load_thresholds, read_truth
from .unknown_words import check_prompts, log_notes


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
        trust: PathLike | None = None,
        audit: PathLike | AuditLog | Literal[False] | None = None,
    ) -> None:
        """Open an engine (a bundle's path, or one already open).

        device, runtime, threads, allow_build, trust: see `EngineOptions`.
        fusion_mode: "frontal", "present", "published" or "prior", of those that the engine has; None takes its own.
        audit: a file that gets a line for each study; None takes that of ALTA_AUDIT, False none. A result whose line
        cannot be written is an AltaError.
        Raises EngineError, IntegrityError or RuntimeUnavailable; CalibrationError if the thresholds beside the engine
        are not its own; AltaError for an audit log that cannot be opened.
        """
        self.audit = choose_audit(audit)
        self.engine = EngineOptions(device, runtime, threads, allow_build, trust).open(engine)
        self._owns_engine = self.engine is not engine
        self.fusion_mode = fusion_mode or self.engine.manifest.fusion_mode
        check_mode(self.fusion_mode, self.engine.manifest.fusion_modes)
        self.thresholds = load_thresholds(self.engine.bundle)

    def close(self) -> None:
        """Close the engine if this Matcher has opened it; one that was given stays open for its owner."""
        if self._owns_engine:
            self.engine.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what this Matcher has opened."""
        self.close()

    def __repr__(self) -> str:
        """Say what computes, without a path."""
        return f"<Matcher of {self.engine!r}, fusion {self.fusion_mode}>"

    __reduce__ = refuse_copy  # which would close the engine of the other

    @overload
    def embed(self, study: OneStudy) -> StudyEmbedding: ...  # type: ignore[overload-overlap]  # a str is a path
    @overload
    def embed(self, study: Sequence[OneStudy]) -> list[StudyEmbedding]: ...
    def embed(self, study: OneStudy | Sequence[OneStudy]) -> StudyEmbedding | list[StudyEmbedding]:
        """Embed a study, or each study of a list, in the fusion mode of this Matcher.

        A study may be a path: DICOM (file, folder, zip) or one frontal JPEG or PNG. Raises StudyError (also
        DicomError, ViewError) for one that cannot be read, EngineError for another intensity profile than its own.
        """
        if isinstance(study, ONE_STUDY):
            return self._embed_noted(study)
        with ReadAhead(study, self._read) as read:
            return [self._embed_noted(one) for one in read]

    def embed_text(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Embed prompts: (n, embedding) float32, unit length.

        Raises PromptError for one that is not text, is empty or too long, or of which the engine knows no word; where
        it does not know all words, the logger "alta_sdk" is told so, without the words.
        """
        texts = list_texts(prompts, "prompts")
        log_notes(check_prompts(self.engine, texts))
        return to_unit_length(self.engine.project_prompts(texts))

    def score(self, study: OneStudy, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Return the cosine of a study with each prompt: (n,) float32; raises and logs what `embed_text` does."""
        return measure_cosines(self.embed_text(prompts), self._embed_noted(study).vector)

    def locate(self, study: OneStudy, phrase: str, *, slot: Slot = Slot.FRONTAL) -> Heatmap:
        """Show where on a radiograph a phrase matches: word-and-patch similarity on its own pixels.

        slot: which radiograph of the study is drawn on. Raises EngineError for an engine that was exported without the
        patch graph or whose family has none, ViewError for a slot that is empty or that this fusion mode does not read,
        PromptError for a phrase that is empty or too long or of which the engine knows no word; what `embed` raises.
        """
        found = locate_in_study(self.engine, study, phrase, slot, self.fusion_mode, self.provenance, self._read)
        return note_result(self.audit, "located", found)

    def rank(self, study: OneStudy, reports: Sequence[str]) -> Ranking:
        """Order reports by their cosine with a study, best first; those that are too long are cut, and told.

        Counts unknown words. Raises PromptError if there is no word that is known, and what `embed` raises.
        """
        embedding, origin = self._embed_one(study)
        ranking = rank_reports(self.engine, embedding, reports, {**self.provenance, **origin})
        return note_result(self.audit, "ranked", ranking)

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

        labels: names, a mapping of name to prompts or `Label`, or a named set ("chexpert5", "rsna"). temperature:
        divides the cosines before the softmax; "engine" takes the engine's learned one, None none (the published
        protocol). Raises PromptError for labels that cannot be scored, such as one of which the engine knows no word,
        and what `embed` raises. "prompt_reading" in the provenance tells labels of which it does not know all words.
        """
        if isinstance(study, ONE_STUDY):
            return self._ask(labels, temperature).answer(*self._embed_one(study))
        return list(self.iter_zero_shot(study, labels, temperature=temperature))

    def iter_zero_shot(
        self, studies: Iterable[OneStudy], labels: Labels, *, temperature: Temperature = "engine"
    ) -> Iterator[ZeroShotResult]:
        """Score studies one by one; a thread reads the next two meanwhile: memory does not grow with the list.

        A study that cannot be read raises at its turn. Closing the iterator ends the thread.
        """
        return self._answer_all(studies, self._ask(labels, temperature))

    def compare(
        self, current: OneSide, prior: OneSide, labels: Labels, *, temperature: Temperature = "engine"
    ) -> Comparison:
        """Score a study and an earlier one for the same findings, like with like: both as current studies.

        Only the current views that both have are used, so that a change is not that of a view or of a prior that one of
        them lacks. Two DICOM paths are checked to be of one patient and in order of time; of studies and images that
        were read before, the caller has to know.
        Raises what `zero_shot` raises, and StudyError for a prior of another patient or that is not earlier.
        """
        pair = load_pair(current, prior, self._load)
        now, before = self.zero_shot(pair, labels, temperature=temperature)
        return Comparison.of(now, before)

    def progression(self, study: OneStudy, finding: str, *, temperature: Temperature = "engine") -> Progression:
        """Tell what became of a finding since the study's prior, which the image tower itself reads.

        study: with a prior frontal radiograph; a path holds several studies of one patient. finding: of the engine's
        set "progression", or any other, which is asked by the same rule. temperature: as in `zero_shot`.
        Raises StudyError without a prior, EngineError for an engine whose family reads none, and what `zero_shot` does.
        """
        check_reads_priors(self.engine.manifest)
        question = self._ask(find_groups(finding, self.engine.label_sets), temperature, PRIOR)
        return Progression.of(finding, question.answer(*embed_with_prior(self.engine, study, self._load)))

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
        overwrite: bool = False,
    ) -> Threshold:
        """Choose a label's threshold on this site's own studies and keep it beside the engine.

        truth: whether each study shows the finding. labels, temperature: as in `zero_shot`, of which `label` is one;
        None takes the pair of `label`. target: "youden", or "sensitivity" or "specificity" of `at_least`. From then on
        `zero_shot` tells decisions for scores made in the same way. overwrite: replace the threshold that there is for
        such scores; it stays in the file's history. Raises CalibrationError for fewer than 20 studies of a class,
        scores that do not separate them, or a threshold that there is already.
        """
        self.check_thresholds([label], labels=labels, temperature=temperature, overwrite=overwrite)
        chosen = self.choose_threshold(
            studies, truth, label, labels=labels, target=target, at_least=at_least, temperature=temperature
        )
        self.keep_thresholds([chosen], overwrite=overwrite)
        return chosen

    def choose_threshold(
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
        """Choose a threshold as `calibrate` does, and keep it nowhere: `keep_thresholds` does that."""
        known = read_truth(truth, len(studies), target, at_least)
        question = self._ask_about(label, labels, temperature)
        log_notes(question.notes)
        embedded = self.embed(studies)
        scores = [question.answer(one, {}).scores[label] for one in embedded]
        return choose_threshold(question.bind(label, require_one_mode(embedded)), scores, known, target, at_least)

    def check_thresholds(
        self,
        names: Sequence[str],
        *,
        labels: Labels | None = None,
        temperature: Temperature = "engine",
        overwrite: bool = False,
    ) -> None:
        """Raise CalibrationError if one of these labels has a threshold already that is not to be replaced."""
        questions = {name: self._ask_about(name, labels, temperature) for name in names}
        check_free(questions, load_thresholds(self.engine.bundle), overwrite=overwrite)

    def keep_thresholds(self, chosen: Sequence[Threshold], *, overwrite: bool = False) -> None:
        """Keep chosen thresholds beside the engine, all or none. Raises CalibrationError as `calibrate` does."""
        self.thresholds = keep_thresholds(chosen, self.engine.bundle, overwrite=overwrite)

    def fit_few_shot(
        self, label: str | Label, positives: Sequence[OneStudy], negatives: Sequence[OneStudy]
    ) -> FewShotClassifier:
        """Learn a finding from a few studies of each kind, mixed with what the text says of it.

        label: a name, or a `Label` with negative prompts. Raises CalibrationError for fewer than 4 studies of a kind,
        or examples that do not separate; PromptError; and what `embed` raises.
        """
        return fit_few_shot(self.engine, self.embed, label, positives, negatives)

    @property
    def provenance(self) -> dict[str, object]:
        """What computes, in which fusion mode, and the engine's notices."""
        told = {"fusion_mode": self.fusion_mode, "notices": list(self.engine.manifest.notices)}
        return {**self.engine.provenance, **told}

    @property
    def _load(self) -> ReadStudy:
        return partial(load_study, intensity_profile=self.engine.manifest.intensity_profile)

    def _read(self, study: OneStudy) -> Study | StudyEmbedding:
        return study if isinstance(study, Study | StudyEmbedding) else self._load(study)

    def _embed_one(self, study: OneStudy) -> tuple[StudyEmbedding, Mapping[str, object]]:
        return embed_study(self.engine, self._read(study), self.fusion_mode)

    def _embed_noted(self, study: OneStudy) -> StudyEmbedding:
        embedding, origin = self._embed_one(study)
        note(self.audit, "embedded", {**self.provenance, **origin})
        return embedding

    def _ask(self, labels: Labels, temperature: Temperature, mode: str | None = None) -> Question:
        asked = self.engine, labels, temperature, mode or self.fusion_mode, self.thresholds
        return ask_question(*asked, self.provenance, self.audit)

    def _ask_about(self, label: str, labels: Labels | None, temperature: Temperature) -> Question:
        """Ask for the scores of a label, alone or among others; raise PromptError if it is not one of them."""
        wanted = [label] if labels is None else labels
        check_label(label, wanted, self.engine.label_sets)
        return self._ask(wanted, temperature)

    def _answer_all(self, studies: Iterable[OneStudy], question: Question) -> Iterator[ZeroShotResult]:
        with ReadAhead(studies, self._read) as read:
            yield from (question.answer(*self._embed_one(study)) for study in read)
