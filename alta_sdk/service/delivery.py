"""Send results to their destinations, each by a thread of its own: one that hangs holds up no other.

A result waits in the queue until its destination has taken it, however long that lasts: attempts come after 10 s and
then twice as long each time, at most a day, by the monotonic clock, and everything is due when the service starts. A
destination that does not answer is one thing that fails, not one for each result. A new result is tried after 10 s at
the latest, so one that is up again is noticed with the next study; then what had waited for it is sent, too.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .audit import Audit
from .commitment import Commitments
from .database import error_text
from .delivery_store import DeliveryStore
from .destinations import Refused, Send, Unreachable, Way, make_way
from .loops import Loop, compute_wait_s
from .records import Delivery, DeliveryState
from .settings import Destination, Settings
from .spool import Spool

GRACE_S = 5.0  # for what is being sent when the service stops
MOST_AT_ONCE = 50  # objects of one association
_LOOK_S = 60.0  # without being woken: what another process has changed in the queue
_log = logging.getLogger("alta_sdk")


@dataclass(frozen=True)
class DestinationState:
    """How a destination fares. reason: why it is not reached, one line. next_in_s: until it is tried again."""

    name: str
    is_reached: bool
    failures: int
    reason: str
    next_in_s: float


class Deliverer:
    """Sends what waits, with a thread for each destination."""

    def __init__(
        self, settings: Settings, deliveries: DeliveryStore, spool: Spool, audit: Audit, commitments: Commitments
    ) -> None:
        """Read what the destinations need; raise ServiceError if one cannot be used as it is configured."""
        self._deliveries = deliveries
        self._senders = [
            Sender(one, make_way(one, settings.receiving.ae_title), deliveries, spool, audit, commitments)
            for one in settings.destinations
        ]

    def start(self) -> None:
        """Begin: everything that waits is due."""
        known = {sender.name for sender in self._senders}
        for (name, state), count in self._deliveries.count_states().items():
            if name not in known and state is not DeliveryState.DONE:
                _log.warning("%d results wait for %s, which is no destination any more", count, name)
        for sender in self._senders:
            sender.loop.start()

    def stop(self) -> None:
        """End; what could not be sent to its end is sent again by the next start."""
        for sender in self._senders:
            sender.loop.ask_to_stop()
        until = time.monotonic() + GRACE_S
        for sender in self._senders:
            sender.loop.join(max(0.0, until - time.monotonic()))
        for sender in self._senders:
            sender.cut_off()

    def wake(self) -> None:
        """Say that there is something new to send."""
        for sender in self._senders:
            sender.loop.wake()

    def is_alive(self) -> bool:
        """True while every thread runs."""
        return all(sender.loop.is_alive() for sender in self._senders)

    def is_sending(self) -> bool:
        """True while any thread runs."""
        return any(sender.loop.is_alive() for sender in self._senders)

    def state(self) -> list[DestinationState]:
        """Say of each destination how it fares."""
        return [sender.state() for sender in self._senders]


@dataclass(frozen=True)
class _Due:
    """When a delivery is tried, by the monotonic clock, and at which count of failures that was decided."""

    attempts: int
    at: float


class Sender:
    """Sends to one destination."""

    def __init__(
        self,
        destination: Destination,
        way: Way,
        deliveries: DeliveryStore,
        spool: Spool,
        audit: Audit,
        commitments: Commitments,
    ) -> None:
        """Say what is sent where; nothing runs yet."""
        self.name, self._destination, self._way = destination.name, destination, way
        self._deliveries, self._spool, self._audit, self._commitments = deliveries, spool, audit, commitments
        self.loop = Loop(f"delivery to {destination.name}", self._send_due)
        self._due: dict[str, _Due] | None = None  # by SOP instance; None before the first look
        self._failures, self._failed_at, self._reason = 0, 0.0, ""
        self._tried: set[str] = set()  # since the destination was last reached

    def cut_off(self) -> None:
        """End what hangs. A connection that is being opened ends with the process, or at its timeout."""
        if self.loop.is_alive():
            self._way.end()
            self.loop.join(GRACE_S)

    def state(self) -> DestinationState:
        """Say how the destination fares."""
        left = max(0.0, self._failed_at + compute_wait_s(self._failures) - time.monotonic()) if self._failures else 0.0
        return DestinationState(self.name, not self._failures, self._failures, self._reason, left)

    def _send_due(self) -> float:
        """Send what is due, if the destination is; return how long nothing will be."""
        waiting = self._deliveries.list_deliveries(destination=self.name, state=DeliveryState.WAITING)
        due_by_uid = self._schedule(waiting)
        now = time.monotonic()
        due = [one for one in waiting if due_by_uid[one.sop_uid].at <= now]
        if not due:
            return min((one.at - now for one in due_by_uid.values()), default=_LOOK_S)
        ready_at = self._find_ready_time(due)
        if ready_at > now:
            return ready_at - now
        self._tried.update(one.sop_uid for one in due)
        self._send_batch(due[:MOST_AT_ONCE])
        return 0.0

    def _schedule(self, waiting: Sequence[Delivery]) -> dict[str, _Due]:
        """Return when each is tried. At start and when new: now. After a failure, of whatever kind: later."""
        now, before = time.monotonic(), self._due
        scheduled = {}
        for one in waiting:
            known = None if before is None else before.get(one.sop_uid)
            if known is None and (before is None or not one.attempts):
                known = _Due(one.attempts, now)
            elif known is None or known.attempts != one.attempts:  # a commitment that was not given, too
                known = _Due(one.attempts, now + compute_wait_s(one.attempts))
            scheduled[one.sop_uid] = known
        self._due = scheduled
        return scheduled

    def _find_ready_time(self, due: Sequence[Delivery]) -> float:
        """Return when the destination is tried again after it was not reached; sooner for what is new."""
        if not self._failures:
            return 0.0
        is_new = any(one.sop_uid not in self._tried for one in due)
        return self._failed_at + compute_wait_s(1 if is_new else self._failures)

    def _send_batch(self, batch: Sequence[Delivery]) -> None:
        """Send a batch, as far as the destination takes it, and ask for its commitment where that is wanted."""
        sent: list[Delivery] = []
        current = None
        try:
            with self._way.open([one.sop_class for one in batch]) as send:
                for current in batch:
                    if self.loop.is_stopping:
                        return
                    if self._send_one(send, current):
                        sent.append(current)
        except Unreachable as error:
            if self.loop.is_stopping:
                return
            self._note_unreached(str(error))
            # One that the peer never answers waits by itself, too: others must not wait behind it for ever.
            self._fail(current or batch[0], str(error), waits=current is not None)
        if sent and self._destination.wants_commitment:
            reason = self._commitments.request(self._destination, sent)  # marks each as sent, or as failed
            if reason:
                _log.warning("%s: %s", self.name, reason)

    def _send_one(self, send: Send, delivery: Delivery) -> bool:
        """Send one object; False if the destination does not take it. Raises Unreachable."""
        try:
            data = self._spool.find(delivery.file).read_bytes()
        except OSError as error:  # one is no reason to hold up the others
            is_gone = isinstance(error, FileNotFoundError)  # erased meanwhile: then there is no row to note it in
            reason = "is gone" if is_gone else f"cannot be read: {error_text(error)}"
            self._fail(delivery, f"file of the result {reason}", waits=True)
            return False
        try:
            send(delivery.sop_class, data)
        except Refused as error:
            self._note_reached()
            self._fail(delivery, str(error), waits=True)
            _log.warning("study %s: %s does not take a result: %s", delivery.study_key, self.name, error)
            return False
        self._note_reached()
        if not self._destination.wants_commitment:
            self._deliveries.mark_sent(delivery)
        self._audit.note("service", "sent", delivery.study_key, self.name)
        _log.info("study %s: sent to %s", delivery.study_key, self.name)
        return True

    def _note_reached(self) -> None:
        """After a time without, everything that had waited for the destination alone is due."""
        if self._failures:
            _log.info("%s is reached again", self.name)
        self._failures, self._reason = 0, ""
        self._tried.clear()

    def _note_unreached(self, reason: str) -> None:
        """Count a failure of the destination."""
        self._failures += 1
        self._failed_at, self._reason = time.monotonic(), reason
        wait_s = compute_wait_s(self._failures)
        _log.warning("%s is not reached, and is tried again in %.0f s: %s", self.name, wait_s, reason)

    def _fail(self, delivery: Delivery, reason: str, *, waits: bool) -> None:
        """Count a failure of an object; waits: it is not due before its own time, whatever others are."""
        self._deliveries.mark_failed(delivery, reason)
        if not waits and self._due is not None:
            self._due[delivery.sop_uid] = _Due(delivery.attempts + 1, time.monotonic())
