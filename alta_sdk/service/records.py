"""The rows of the queue as values, and the states that a study goes through."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class StudyState(StrEnum):
    """receiving → complete → scoring → scored → delivering → done; or refused, or failed."""

    RECEIVING = "receiving"
    COMPLETE = "complete"
    SCORING = "scoring"
    SCORED = "scored"
    DELIVERING = "delivering"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class Arrival(StrEnum):
    """What an instance was to the queue. SAME: it was there, byte for byte, and nothing happens.

    RESTORED: it was known, byte for byte, but kept no longer; it is there again, and nothing else happens.
    """

    NEW = "new"
    SAME = "same"
    RESTORED = "restored"
    REPLACED = "replaced"


class DeliveryState(StrEnum):
    """waiting → sent → done; sent is skipped where no commitment is wanted."""

    WAITING = "waiting"
    SENT = "sent"
    DONE = "done"


@dataclass(frozen=True)
class Instance:
    """One object that was received. file: its name in the spool. sha256: of the data set as it came, in hex."""

    sop_uid: str
    sop_class: str
    series_uid: str
    study_uid: str
    study_key: str
    syntax: str
    sha256: str
    size: int
    file: str
    sender: str
    received_at: float


@dataclass(frozen=True)
class StudyJob:
    """One study of the queue. revision: 1, and one more for whatever arrives after its scoring began.

    attempts: scorings begun that ended by themselves; crashes: scorings that ended with the process. reason: one
    line, of a refused or failed one. explanation: Study.explain() of what was refused. changed_at: in seconds since
    the epoch, for people; no wait hangs on it.
    """

    key: str
    study_uid: str
    state: StudyState
    revision: int
    attempts: int
    crashes: int
    sender: str
    reason: str
    explanation: dict[str, Any] | None
    received_at: float
    changed_at: float


@dataclass(frozen=True)
class ResultObject:
    """A DICOM object of a result, before it is delivered. file: its name in the spool. kind: "sr" or "heat map"."""

    sop_uid: str
    sop_class: str
    kind: str
    file: str


@dataclass(frozen=True)
class Result:
    """What a revision scored to. content: ZeroShotResult.as_dict() with what else the page shows; plain types."""

    study_key: str
    revision: int
    engine: str
    engine_hash: str
    content: dict[str, Any]
    objects: tuple[ResultObject, ...]
    scored_at: float


@dataclass(frozen=True)
class Delivery:
    """One object on its way to one destination. attempts: that failed. reason: of the last, one line."""

    sop_uid: str
    sop_class: str
    file: str
    study_key: str
    revision: int
    destination: str
    state: DeliveryState
    attempts: int
    reason: str
    transaction_uid: str
    changed_at: float


@dataclass(frozen=True)
class CommitmentRequest:
    """A peer's wish to be told what is kept. items: (SOP class, SOP instance) pairs. attempts: answers that failed."""

    transaction_uid: str
    requester: str
    items: tuple[tuple[str, str], ...]
    attempts: int


@dataclass(frozen=True)
class AuditEvent:
    """Who did what to which study."""

    at: float
    actor: str
    action: str
    study_key: str
    detail: str
