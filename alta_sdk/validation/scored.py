"""Studies of a table, scored once with one engine or with two: what every figure of a validation is made of.

A study that cannot be read is in no figure, and is told: by its number in the table and its key.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dicom.files import StudyFiles
from ..errors import CalibrationError, StudyError
from ..matching.audit_log import about, note_refused
from ..matching.embeddings import StudyEmbedding, require_one_mode
from ..matching.matcher import Matcher
from ..matching.prompts import Labels
from ..matching.questions import Question, ask_question
from ..matching.stream import Embeds, stream_studies
from ..study.lists import StudyEntry
from ..study.naming import Failure, StudyName, StudyNamer
from ..study.study import Study
from .pictures import measure_picture

ReadFiles = Callable[[StudyFiles, Matcher], Study]
ReadOne = tuple[StudyName, dict[str, Study]]  # by intensity profile


@dataclass(frozen=True)
class UnreadStudy:
    """A study without scores, and why. name: numbered by its row in the table, from 1."""

    name: StudyName
    error: Failure

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return {**self.name.as_dict(), "error": self.error.as_dict()}


@dataclass(frozen=True, eq=False)
class EmbeddedStudy:
    """A study's name, its vector by each engine, what must be told of it, and what its picture is like."""

    name: StudyName
    vectors: Sequence[StudyEmbedding]
    notices: Sequence[str]
    picture: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class EngineScores:
    """scores: by label, (studies,) float64. question: what was asked, with this site's thresholds. mode: of all."""

    scores: Mapping[str, NDArray[np.float64]]
    question: Question = field(repr=False)
    mode: str

    def find_threshold(self, label: str) -> float | None:
        """Return this site's threshold for such scores, if it has one."""
        return self.question.limits[self.mode].get(label)

    def hash_prompts(self, label: str) -> str:
        """Return the SHA-256 of the prompts that a label's scores depend on."""
        return self.question.bind(label, self.mode).prompts


def embed_each(
    entries: Sequence[StudyEntry], matchers: Sequence[Matcher], read: ReadFiles, namer: StudyNamer
) -> Generator[EmbeddedStudy | UnreadStudy, None, None]:
    """Embed each study with each engine; threads read the next ones meanwhile.

    read: makes a study of files, as an engine's intensity profile wants it. An audit log has a line of each study and
    engine, and one of a study that cannot be read.
    """
    profiles = {matcher.intensity_profile: matcher for matcher in matchers}

    def read_one(numbered: tuple[int, StudyEntry]) -> UnreadStudy | ReadOne:
        number, entry = numbered
        files, path = None, entry.paths[0]
        try:
            files = entry.read()
            studies = {profile: read(files, matcher) for profile, matcher in profiles.items()}
        except StudyError as error:
            return UnreadStudy(namer.name(number, path, files), Failure.of(error))
        return namer.name(number, path, files, next(iter(studies.values()))), studies

    def find(one: object, matcher: Embeds) -> Study | None:
        return one[1][matcher.intensity_profile] if isinstance(one, tuple) else None

    with closing(stream_studies(enumerate(entries, start=1), read_one, matchers, find)) as found:
        for one in found:
            if isinstance(one, StudyError):  # for mypy: `read_one` keeps them
                raise one
            if isinstance(one, UnreadStudy):
                with about(matchers[0].audit, one.name.key):
                    note_refused(matchers[0].audit, one.error.kind)
                yield one
                continue
            name, studies = one
            vectors = [_embed(matcher, name, studies) for matcher in matchers]
            first = next(iter(studies.values()))
            yield EmbeddedStudy(name, vectors, first.read_notes(first.slots), measure_picture(first))


def _embed(matcher: Matcher, name: StudyName, studies: Mapping[str, Study]) -> StudyEmbedding:
    with about(matcher.audit, name.key):
        return matcher.embed(studies[matcher.intensity_profile])


def ask(matcher: Matcher, labels: Labels) -> Question:
    """Make labels ready to be scored as `Matcher.zero_shot` scores them; raises PromptError."""
    return ask_question(matcher.engine, labels, "engine", matcher.fusion_mode, matcher.thresholds, matcher.provenance)


def score_all(question: Question, vectors: Sequence[StudyEmbedding]) -> EngineScores:
    """Score embedded studies for every label of a question.

    Raises CalibrationError if none is left, or some were embedded with a prior and some without.
    """
    if not vectors:
        raise CalibrationError("no study of the table can be read: check its paths")
    mode = require_one_mode(vectors)
    answers = [question.answer(vector, {}).scores for vector in vectors]
    scores = {label: np.array([answer[label] for answer in answers]) for label in question.labels}
    return EngineScores(scores, question, mode)
