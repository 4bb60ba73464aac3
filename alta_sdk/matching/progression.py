"""What became of a finding since the prior, read inside the image tower: improving, stable or worsening.

The study's vector, of the current frontal radiograph beside the prior one, is compared with three groups of prompts;
the three shares are a softmax of the three cosines. `Matcher.compare` does something else: it scores two studies for a
finding, each alone, and subtracts. The groups are written by rule here, put into each bundle of a family that reads
priors, and read from the bundle by the engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..engine.clock import tell_time
from ..engine.engine import Engine
from ..engine.label_sets import Label, LabelSet
from ..engine.manifest import Manifest
from ..engine.manifest_content import BLANK, PRIOR
from ..engine.prompt_words import check_text
from ..errors import EngineError, PromptError, StudyError
from ..study.comparison import ReadStudy
from ..study.study import Study
from .embeddings import OneStudy, StudyEmbedding, embed_study
from .prompts import PROGRESSION
from .results import ZeroShotResult

IMPROVING, STABLE, WORSENING = "improving", "stable", "worsening"
FINDINGS = ("consolidation", "edema", "pleural effusion", "pneumonia", "pneumothorax")  # those of MS-CXR-T
# Two sentences with the finding as what changes, and two findings with their change, as in reports; our own wording.
TEMPLATES: Mapping[str, tuple[str, ...]] = {
    IMPROVING: ("{} has improved", "{} is improving", "decreased {}", "interval improvement of {}"),
    STABLE: ("{} has not changed", "{} is stable", "unchanged {}", "no interval change of {}"),
    WORSENING: ("{} has worsened", "{} is worsening", "increased {}", "interval worsening of {}"),
}


@dataclass(frozen=True)
class Progression:
    """How much a study and its prior match the three courses of a finding, and where the numbers come from.

    improving, stable, worsening: shares between 0 and 1, which sum to 1.
    """

    finding: str
    improving: float
    stable: float
    worsening: float
    provenance: Mapping[str, Any]
    scored_at: str = field(default_factory=tell_time, compare=False)

    @classmethod
    def of(cls, finding: str, result: ZeroShotResult) -> "Progression":
        """Take the scores of the three groups."""
        return cls(finding.strip(), **result.scores, provenance=result.provenance, scored_at=result.scored_at)

    @property
    def top(self) -> str:
        """The course with the largest share."""
        shares = {course: getattr(self, course) for course in TEMPLATES}
        return max(shares, key=shares.__getitem__)

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        shares = {course: getattr(self, course) for course in TEMPLATES}
        origin = {**self.provenance, "scored_at": self.scored_at}
        return {"label": self.finding, **shares, "top": self.top, "provenance": origin}


def make_groups(finding: str) -> LabelSet:
    """Return the prompts of the three courses of a finding."""
    return {
        course: Label(tuple(template.replace(BLANK, finding) for template in templates))
        for course, templates in TEMPLATES.items()
    }


def build_progression_set() -> LabelSet:
    """Write out the named set `progression`: a label for each course of each of the five findings."""
    return {_name(finding, course): label for finding in FINDINGS for course, label in make_groups(finding).items()}


def find_groups(finding: str, sets: Mapping[str, LabelSet]) -> LabelSet:
    """Return the prompts of the courses of a finding: the engine's own, or by the rule for one that it has none of.

    Raises PromptError for what is not text, or is empty.
    """
    check_text(finding, "finding")
    name = finding.strip()
    if not name:
        raise PromptError("finding is empty: name one, such as pleural effusion")
    own = {one.lower(): label for one, label in sets.get(PROGRESSION, {}).items()}
    written = {course: own.get(_name(name.lower(), course)) for course in TEMPLATES}
    groups = {course: label for course, label in written.items() if label is not None}
    return groups if len(groups) == len(TEMPLATES) else make_groups(name)


def check_reads_priors(manifest: Manifest) -> None:
    """Raise EngineError for an engine whose image tower reads no prior."""
    if PRIOR not in manifest.fusion_modes:
        raise EngineError(
            f"engine of the family {manifest.family} reads no prior in its image tower and tells no progression: use "
            "an engine of the family biovil-t, or compare the scores of both studies (Matcher.compare, alta compare)"
        )


def embed_with_prior(engine: Engine, study: OneStudy, read: ReadStudy) -> tuple[StudyEmbedding, Mapping[str, object]]:
    """Embed a study with its prior, and say of it what `embed_study` says; read: makes a study of a path.

    Raises StudyError for a study, or an embedding of one, without a prior frontal radiograph.
    """
    whole = study if isinstance(study, Study | StudyEmbedding) else read(study, find_prior=True)
    mode = whole.mode if isinstance(whole, StudyEmbedding) else PRIOR  # one that has another is told below
    embedding, origin = embed_study(engine, whole, mode)
    if embedding.mode != PRIOR:
        raise StudyError(
            "study has no prior frontal radiograph, so nothing can be told of a change: give an earlier study of the "
            "same patient (prior=, find_prior=True)"
        )
    return embedding, origin


def _name(finding: str, course: str) -> str:
    return f"{finding}, {course}"
