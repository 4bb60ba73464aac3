"""Storage commitment (PS3.4 annex J) in both roles: peers ask what we keep, and we ask destinations what they keep.

A peer's question is kept in the queue and answered on an association of our own, again and again until it has the
answer or it was tried for days. Our question is asked after a result was stored; its answer may come hours later,
and where none comes the result is sent again, which changes nothing at a destination that has it.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pynetdicom import build_role, evt
from pynetdicom.association import Association

from ..errors import ServiceError
from .calling import call_peer
from .commitment_messages import make_report, read_items, read_transaction
from .delivery_store import DeliveryStore
from .job_store import JobStore
from .loops import Loop, compute_wait_s
from .records import CommitmentRequest, Delivery, DeliveryState
from .settings import Destination, DicomPeer, Settings
from .syntaxes import COMMAND_SYNTAXES, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE

if TYPE_CHECKING:
    from pydicom import Dataset

SUCCESS, INVALID_ARGUMENT, NOT_AUTHORISED = 0x0000, 0x0115, 0x0124
NO_SUCH_INSTANCE, CLASS_CONFLICT = 0x0112, 0x0119
REQUEST_STORAGE_COMMITMENT = 1  # the action; the events are 1 for all kept, 2 for some that are not
MAX_ATTEMPTS = 16  # four days
HOLD_S = 0.25  # an association is kept for an answer at once: released in the midst of it, pynetdicom stumbles
ANSWER_S = 600.0  # for a destination to answer
_CONTEXTS = ((STORAGE_COMMITMENT, COMMAND_SYNTAXES),)
_IDLE_S = 3600.0
_log = logging.getLogger("alta_sdk")


class Commitments:
    """Questions and answers of storage commitment, with a thread for what is to be sent or given up.

    on_report: called after a destination has answered, or has not in time; set before the start.
    """

    def __init__(self, settings: Settings, store: JobStore, deliveries: DeliveryStore) -> None:
        """Answer for a store's instances, and ask for deliveries."""
        self._settings, self._store, self._deliveries = settings, store, deliveries
        self._lock = threading.Lock()
        self._due: dict[str, float] = {}  # by requester, of the monotonic clock
        self._asked: dict[str, float] = {}  # by transaction
        self._failures: dict[str, int] = {}
        self._loop = Loop("commitment", self._step)
        self.answer_s = ANSWER_S
        self.on_report: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Answer what is open now, and give each unanswered question its time anew."""
        now = time.monotonic()
        self._due = {one.requester: now for one in self._deliveries.list_commitments()}
        sent = self._deliveries.list_deliveries(state=DeliveryState.SENT)
        self._asked |= {delivery.transaction_uid: now for delivery in sent}
        self._loop.start()

    def stop(self) -> None:
        """End the thread; what is open stays in the queue."""
        self._loop.stop()

    def is_alive(self) -> bool:
        """True while the thread runs."""
        return self._loop.is_alive()

    def take_request(self, requester: str, information: "Dataset") -> int:
        """Take a peer's question, an N-ACTION; return its status. The answer follows on an association of ours."""
        transaction = read_transaction(information)
        items = read_items(information.get("ReferencedSOPSequence"))
        if not transaction or not items:
            return INVALID_ARGUMENT
        if self._find_peer(requester) is None:
            _log.warning("storage commitment was refused: the address of its requester is in no [[peers]]")
            return NOT_AUTHORISED
        self._deliveries.add_commitment(CommitmentRequest(transaction, requester, items, 0))
        with self._lock:
            self._due[requester] = time.monotonic()
        self._loop.wake()
        return SUCCESS

    def request(self, destination: Destination, deliveries: Sequence[Delivery]) -> str:
        """Ask a destination to commit itself to what it has just stored.

        Returns "" if it was asked: the deliveries are sent, and done or waiting again with its answer. Else returns
        why not, in one line, and they wait again, with the failure counted.
        """
        if not isinstance(destination.peer, DicomPeer):
            raise ServiceError(f"destination {destination.name} is no DICOM node: it cannot commit itself")
        transaction = f"2.25.{secrets.randbits(128)}"
        for delivery in deliveries:  # before it is asked: the answer may be here before we go on
            self._deliveries.mark_sent(delivery, transaction)
        with self._lock:
            self._asked[transaction] = time.monotonic()
        self._loop.wake()
        try:
            heard = threading.Event()
            handlers: list[evt.EventHandlerType] = [(evt.EVT_N_EVENT_REPORT, self._hear, [heard])]
            with call_peer(
                self._settings.receiving.ae_title, destination.peer, _CONTEXTS, handlers=handlers
            ) as association:
                reason = _ask(association, transaction, deliveries)
                if not reason and heard.wait(HOLD_S):
                    time.sleep(HOLD_S)  # what says that it was heard is on its way
        except ServiceError as error:
            reason = f"storage commitment cannot be asked for: {error}"
        if reason:
            for delivery in deliveries:
                self._deliveries.mark_failed(delivery, reason)
        return reason

    def take_report(self, information: "Dataset") -> int:
        """Take a destination's answer, an N-EVENT-REPORT; return its status."""
        transaction = read_transaction(information)
        if not transaction:
            return INVALID_ARGUMENT
        kept = [uid for _, uid in read_items(information.get("ReferencedSOPSequence"))]
        lost = [uid for _, uid in read_items(information.get("FailedSOPSequence"))]
        # What the answer does not name is still waited for, and given up in its time.
        if self._deliveries.commit(transaction, kept, lost):
            self.on_report()
        return SUCCESS  # an answer that comes twice, or late, is one that was taken

    def _hear(self, event: evt.Event, heard: threading.Event) -> tuple[int, None]:
        """Take the answer on the association of the question, as some peers give it."""
        heard.set()
        return self.take_report(event.event_information), None

    def _find_peer(self, ae_title: str) -> DicomPeer | None:
        """Return where a node is called that asked us: named in the settings, as a destination or for priors, too."""
        settings = self._settings
        named = [one.peer for one in settings.destinations] + ([settings.priors.peer] if settings.priors else [])
        known = [*settings.peers, *(peer for peer in named if isinstance(peer, DicomPeer))]
        return next((peer for peer in known if peer.ae_title == ae_title), None)

    def _step(self) -> float:
        """Do what is due; return how long nothing will be."""
        self._answer_all()
        self._give_up()
        with self._lock:
            times = [*self._due.values(), *(at + self.answer_s for at in self._asked.values())]
        return max(0.0, min(times, default=time.monotonic() + _IDLE_S) - time.monotonic())

    def _answer_all(self) -> None:
        """Answer each requester that is due: its questions on one association, until one fails."""
        now = time.monotonic()
        with self._lock:
            due = [requester for requester, at in self._due.items() if at <= now]
        for requester in due:
            open_ones = [one for one in self._deliveries.list_commitments() if one.requester == requester]
            with self._lock:
                if self._due[requester] <= now:  # else it has asked again, and is next
                    del self._due[requester]
            if not open_ones or self._loop.is_stopping:
                continue
            try:
                self._answer(requester, open_ones)
                self._failures.pop(requester, None)
            except Exception as error:  # ServiceError, or what pynetdicom raises for a peer that left
                reason = str(error) if isinstance(error, ServiceError) else type(error).__name__
                self._put_off(requester, open_ones, reason)

    def _put_off(self, requester: str, open_ones: Sequence[CommitmentRequest], reason: str) -> None:
        failures = self._failures[requester] = self._failures.get(requester, 0) + 1
        wait_s = compute_wait_s(failures)
        with self._lock:
            at = time.monotonic() + wait_s
            self._due[requester] = min(at, self._due.get(requester, at))
        _log.warning("storage commitment could not be answered, and is again in %.0f s: %s", wait_s, reason)
        for one in open_ones:
            self._deliveries.count_commitment_failure(one.transaction_uid)
            if one.attempts + 1 >= MAX_ATTEMPTS:
                self._deliveries.remove_commitment(one.transaction_uid)
                _log.error("storage commitment could not be answered %d times: given up", MAX_ATTEMPTS)

    def _answer(self, requester: str, open_ones: Sequence[CommitmentRequest]) -> None:
        peer = self._find_peer(requester)
        if peer is None:
            raise ServiceError("the address of its requester is in no [[peers]]")
        role = build_role(STORAGE_COMMITMENT, scp_role=True)
        with call_peer(self._settings.receiving.ae_title, peer, _CONTEXTS, roles=[role]) as association:
            for one in open_ones:
                kept, failed = self._sort_items(one)
                answer = make_report(one.transaction_uid, kept, failed)
                status, _ = association.send_n_event_report(
                    answer, 2 if failed else 1, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
                )
                if status.get("Status") != SUCCESS:
                    raise ServiceError(_tell_status(status))
                self._deliveries.remove_commitment(one.transaction_uid)

    def _sort_items(self, request: CommitmentRequest) -> tuple[list[tuple[str, str]], list[tuple[str, str, int]]]:
        """Return the items that are kept, and the others with a reason of PS3.3 C.14.1.1."""
        kept, failed = [], []
        for sop_class, sop_uid in request.items:
            found = self._store.find_instance(sop_uid)
            if found is None or not found.file:
                failed.append((sop_class, sop_uid, NO_SUCH_INSTANCE))
            elif found.sop_class != sop_class:
                failed.append((sop_class, sop_uid, CLASS_CONFLICT))
            else:
                kept.append((sop_class, sop_uid))
        return kept, failed

    def _give_up(self) -> None:
        """Let deliveries wait again whose destination has not answered."""
        before = time.monotonic() - self.answer_s
        with self._lock:
            late = {transaction for transaction, at in self._asked.items() if at <= before}
        if not late:
            return
        reason = f"destination has not answered on storage commitment in {self.answer_s:.0f} s"
        for delivery in self._deliveries.list_deliveries(state=DeliveryState.SENT):
            if delivery.transaction_uid in late:
                self._deliveries.mark_failed(delivery, reason)
        with self._lock:
            for transaction in late:
                self._asked.pop(transaction, None)
        self.on_report()


def _ask(association: Association, transaction: str, deliveries: Sequence[Delivery]) -> str:
    question = make_report(transaction, [(one.sop_class, one.sop_uid) for one in deliveries])
    try:
        status, _ = association.send_n_action(
            question, REQUEST_STORAGE_COMMITMENT, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
        )
    except (ValueError, AttributeError, RuntimeError):  # what pynetdicom raises for a peer that has left
        return "storage commitment: peer ended the association"
    return "" if status.get("Status") == SUCCESS else f"storage commitment: {_tell_status(status)}"


def _tell_status(status: "Dataset") -> str:
    number: Any = status.get("Status")
    return "peer does not answer" if number is None else f"peer answers with status 0x{number:04X}"
