"""What the page of one study says: its results as rows, what decided, where it went, and who did what."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..records import AuditEvent, Delivery, Instance, Result, StudyJob, StudyState
from .view import ServiceView

READING = (
    "Each score lies between 0 and 1: how much more the study matches the statement of the finding than its negation, "
    "or, in a set without negations, than the set's other labels. It is not a probability of disease."
)
_TOLD_ELSEWHERE = frozenset({"notices", "prompt_reading", "slots", "reading"})
_EVENTS = 50


@dataclass(frozen=True)
class ScoreRow:
    """One label. threshold: of this site, or None; decision: above, below or ""."""

    label: str
    score: float
    threshold: float | None
    decision: str


@dataclass(frozen=True)
class ResultView:
    """One revision's result."""

    result: Result
    scores: tuple[ScoreRow, ...]
    notices: tuple[str, ...]
    explanation: Mapping[str, Any]
    provenance: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class StudyView:
    """All that the page of a study shows but identifiers."""

    study: StudyJob
    results: tuple[ResultView, ...]
    instances: tuple[Instance, ...]
    deliveries: tuple[Delivery, ...]
    kinds: Mapping[str, str]  # of objects, by their SOP instance
    events: tuple[AuditEvent, ...]

    def name_object(self, delivery: Delivery) -> str:
        """Return in words what is delivered."""
        kind = self.kinds.get(delivery.sop_uid, "object")
        return "report" if kind == "sr" else kind

    @property
    def can_retry(self) -> bool:
        """Whether scoring it again may be asked for."""
        return self.study.state in (StudyState.REFUSED, StudyState.FAILED)


def read_study(view: ServiceView, key: str) -> StudyView | None:
    """Return a study with everything that belongs to it, or None if there is none."""
    study = view.store.get_study(key)
    if study is None:
        return None
    results = view.store.list_results(key)
    return StudyView(
        study,
        tuple(map(make_result_view, results)),
        tuple(view.store.list_instances(key)),
        tuple(view.deliveries.list_deliveries(key=key)),
        {one.sop_uid: one.kind for result in results for one in result.objects},
        tuple(view.audit.list_events(key, limit=_EVENTS)),
    )


def make_result_view(result: Result) -> ResultView:
    """Take a result apart for the page."""
    content = result.content
    provenance = content.get("provenance", {})
    told = [*content.get("notices", ()), *provenance.get("notices", ()), *provenance.get("prompt_reading", ())]
    decisions = content.get("decisions", {})
    return ResultView(
        result,
        tuple(_make_row(label, score, decisions.get(label)) for label, score in content.get("scores", {}).items()),
        tuple(dict.fromkeys(str(one) for one in told if one != "Not for clinical use.")),  # every page says so
        content.get("explanation") or {},
        tuple((name.replace("_", " "), _say(value)) for name, value in provenance.items() if _is_shown(name, value)),
    )


def find_top(result: Result) -> ScoreRow | None:
    """Return a result's highest score."""
    return max(make_result_view(result).scores, key=lambda row: row.score, default=None)


def describe_time(seconds: float) -> str:
    """Return a time as the clock of this machine shows it."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def _make_row(label: str, score: float, decision: Mapping[str, Any] | None) -> ScoreRow:
    if decision is None:
        return ScoreRow(label, score, None, "")
    return ScoreRow(label, score, decision["threshold"], "above" if decision["is_above"] else "below")


def _is_shown(name: str, value: object) -> bool:
    return name not in _TOLD_ELSEWHERE and value is not None


def _say(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_say(one)}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
