"""One place that takes an object from anybody, by DICOM or by REST: acknowledged only when it is durable.

The data set is kept as it came, byte for byte, behind file meta information of ours; then its row is written; then,
and only then, it is called stored. Whatever a peer is told is a number; why is logged without its values.
"""

import hashlib
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from enum import IntEnum
from functools import cached_property

from .._version import __version__
from ..dicom.identity import InstanceIdentity, read_identity
from ..errors import DicomError
from ..study.key import SiteKey, identify_uid
from .audit import Audit
from .database import error_text
from .job_store import JobStore
from .records import Arrival, Instance, StudyState
from .settings import Settings
from .spool import Spool
from .syntaxes import list_storage_classes, list_syntaxes

IMPLEMENTATION_UID = "2.25.110380492528406592179236953887177579262"
MAX_DATASET_BYTES = 1 << 27  # twice the largest frame, as the rest of alta-sdk reads
_MAX_VERSION_CHARACTERS = 16
_log = logging.getLogger("alta_sdk")


class Outcome(IntEnum):
    """The status of a C-STORE (PS3.4 B.2.3)."""

    STORED = 0x0000
    OUT_OF_RESOURCES = 0xA700
    MISMATCH = 0xA900
    NOT_UNDERSTOOD = 0xC000
    NOT_SUPPORTED = 0x0122


class Reception:
    """Takes objects in; safe to share between threads.

    on_arrival: called with the key of a study to which something new has come; set before anything is taken.
    """

    def __init__(self, settings: Settings, store: JobStore, spool: Spool, site_key: SiteKey, audit: Audit) -> None:
        """Take objects into a store and its spool."""
        self._receiving, self._store, self._spool = settings.receiving, store, spool
        self._site_key, self._audit = site_key, audit
        self._draining = threading.Event()
        self._counts: Counter[Outcome] = Counter()
        self._lock = threading.Lock()
        self._last_refusal = ""
        self.on_arrival: Callable[[str], None] = lambda key: None

    @cached_property
    def storage_classes(self) -> tuple[str, ...]:
        """The SOP classes that are taken."""
        return list_storage_classes(allow_for_processing=self._receiving.allow_for_processing)

    @cached_property
    def syntaxes(self) -> tuple[str, ...]:
        """The transfer syntaxes that are taken."""
        return list_syntaxes()

    def take(self, dataset: bytes, sop_class: str, sop_uid: str, syntax: str, sender: str) -> Outcome:
        """Take one object: its data set as it came, without file meta information, and what the sender says of it.

        sender: an AE title, or a user's name. Returns STORED only for what a power cut leaves there.
        """
        try:
            outcome = self._take(dataset, sop_class, sop_uid, syntax, sender)
        except (OSError, sqlite3.Error) as error:
            _log.error("an object could not be kept: %s", error_text(error))
            outcome = Outcome.OUT_OF_RESOURCES
        except Exception as error:  # a peer is never told a text, and gets an answer whatever happens
            _log.error("an object could not be taken: %s", type(error).__name__)
            outcome = Outcome.NOT_UNDERSTOOD
        with self._lock:
            self._counts[outcome] += 1
        return outcome

    def drain(self) -> None:
        """Refuse everything from now on: the service stops."""
        self._draining.set()

    def find_refusal(self) -> str:
        """Return why no new study is taken now, in one line; empty if one is."""
        try:
            return self._find_lack() or self._find_queue()
        except (OSError, sqlite3.Error) as error:
            return f"disk or queue cannot be asked: {error_text(error)}"

    def count_outcomes(self) -> dict[Outcome, int]:
        """Return how often each outcome was told since the start, all named."""
        with self._lock:
            return dict.fromkeys(Outcome, 0) | dict(self._counts)

    def _take(self, dataset: bytes, sop_class: str, sop_uid: str, syntax: str, sender: str) -> Outcome:
        if refusal := self._find_lack():
            return self._hold_off(refusal)
        if sop_class not in self.storage_classes or syntax not in self.syntaxes:
            return self._refuse(Outcome.NOT_SUPPORTED, sender, "SOP class or transfer syntax is not taken")
        if len(dataset) > MAX_DATASET_BYTES:
            return self._refuse(Outcome.NOT_UNDERSTOOD, sender, f"larger than {MAX_DATASET_BYTES >> 20} MiB")
        try:
            identity = read_identity(dataset, syntax)
        except DicomError as error:
            return self._refuse(Outcome.NOT_UNDERSTOOD, sender, str(error))
        if (identity.sop_class, identity.sop_uid) != (sop_class, sop_uid):
            return self._refuse(Outcome.MISMATCH, sender, "the message names another object than the data set")
        key = self._site_key.sign(identify_uid(identity.study_uid)).hex()
        if (refusal := self._find_queue()) and not self._is_received(key):
            return self._hold_off(refusal)
        self._keep(dataset, identity, syntax, key, sender)
        self._tell_change("")
        return Outcome.STORED

    def _keep(self, dataset: bytes, identity: InstanceIdentity, syntax: str, key: str, sender: str) -> None:
        digest = hashlib.sha256(dataset).hexdigest()
        known = self._store.find_instance(identity.sop_uid)
        if known and known.file and (known.sha256, known.study_key) == (digest, key):
            return
        name = self._spool.write((encode_file_meta(identity.sop_class, identity.sop_uid, syntax), dataset))
        unneeded = name
        try:
            instance = Instance(
                sop_uid=identity.sop_uid,
                sop_class=identity.sop_class,
                series_uid=identity.series_uid,
                study_uid=identity.study_uid,
                study_key=key,
                syntax=syntax,
                sha256=digest,
                size=len(dataset),
                file=name,
                sender=sender,
                received_at=time.time(),
            )
            arrival, replaced = self._store.add_instance(instance)
            unneeded = name if arrival is Arrival.SAME else replaced
            if arrival in (Arrival.NEW, Arrival.REPLACED):  # told before what may fail: it is in the queue
                self.on_arrival(key)
        finally:
            if unneeded:
                self._spool.remove((unneeded,))

    def _find_lack(self) -> str:
        if self._draining.is_set():
            return "the service is stopping"
        free, reserve = self._spool.measure_free_mib(), self._receiving.reserve_mib
        return f"the disk has {free} MiB free, less than the reserve of {reserve}" if free < reserve else ""

    def _find_queue(self) -> str:
        waiting, limit = self._store.count_waiting(), self._receiving.queue_limit
        return f"{waiting} studies wait, and {limit} may" if waiting >= limit else ""

    def _is_received(self, key: str) -> bool:
        """True for a study of which a part is there and waits for the rest: that is still taken."""
        study = self._store.get_study(key)
        return study is not None and study.state is StudyState.RECEIVING

    def _hold_off(self, refusal: str) -> Outcome:
        self._tell_change(refusal)
        return Outcome.OUT_OF_RESOURCES

    def _tell_change(self, refusal: str) -> None:
        """Log why nothing is taken when that begins and ends, not for each object."""
        with self._lock:
            before, self._last_refusal = self._last_refusal, refusal
        if bool(refusal) != bool(before):
            _log.warning("receiving %s", f"is refused: {refusal}" if refusal else "goes on")

    def _refuse(self, outcome: Outcome, sender: str, reason: str) -> Outcome:
        _log.warning("an object was refused with status 0x%04X: %s", outcome, reason)
        self._audit.note(sender, "refused", detail=f"0x{outcome:04X}: {reason}")
        return outcome


def encode_file_meta(sop_class: str, sop_uid: str, syntax: str) -> bytes:
    """Return preamble, mark and file meta information for a data set (PS3.10 section 7.1)."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_file_meta_info
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(sop_uid)
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = f"ALTA_{__version__}"[:_MAX_VERSION_CHARACTERS]
    file = DicomBytesIO()
    write_file_meta_info(file, meta)
    return bytes(128) + b"DICM" + file.getvalue()
