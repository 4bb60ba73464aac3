"""What the page and REST see of the running service: its stores, and what they may ask of it.

The composition makes one; tests make one by hand. Nothing here imports the web framework.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..audit import Audit
from ..delivery_store import DeliveryStore
from ..health import Check
from ..job_store import JobStore
from ..spool import Spool

_SAME_READ_S = 300.0  # a page that is looked at again by the same person is one reading
_MAX_READS = 10_000


class Takes(Protocol):
    """What takes an object from anybody: `reception.Reception`."""

    def take(self, dataset: bytes, sop_class: str, sop_uid: str, syntax: str, sender: str) -> int:
        """Keep an object; return a DICOM status, 0x0000 once it is durable."""

    def count_outcomes(self) -> Mapping[Any, int]:
        """Return how often each status was told since the start."""


@dataclass(frozen=True)
class ServiceView:
    """Stores to read, and what may be done.

    retry(key, actor): empty if the study waits for its scoring again, else why not, in one line. erase(key, actor):
    True if there was such a study. Both write the audit themselves. readiness(): every check, those that hold, too.
    """

    store: JobStore
    deliveries: DeliveryStore
    audit: Audit
    spool: Spool
    reception: Takes
    retry: Callable[[str, str], str]
    erase: Callable[[str, str], bool]
    readiness: Callable[[], list[Check]]
    readings: "Readings" = field(default_factory=lambda: Readings())
    started: float = field(default_factory=time.monotonic)

    def note_reading(self, actor: str, key: str, detail: str = "") -> None:
        """Write down who read a study; again only after some minutes."""
        if self.readings.is_new(actor, key):
            self.audit.note(actor, "read", key, detail)


class Readings:
    """Who has read what a moment ago."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._lock = threading.Lock()
        self._until: dict[tuple[str, str], float] = {}

    def is_new(self, actor: str, key: str) -> bool:
        """Return whether a reading is to be written down, and remember it."""
        now = time.monotonic()
        with self._lock:
            if len(self._until) >= _MAX_READS:
                self._until = {one: until for one, until in self._until.items() if until > now}
            if len(self._until) >= _MAX_READS:
                self._until.clear()
            is_new = self._until.get((actor, key), 0.0) <= now
            if is_new:
                self._until[actor, key] = now + _SAME_READ_S
            return is_new
