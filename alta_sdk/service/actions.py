"""What a person may ask of a service, from the page, by REST or by a command: score again, erase, open engines anew.

Each is written into the audit with who asked. A command that finds no service running does the same by itself.
"""

import logging
import time
from collections.abc import Callable

from ..errors import ServiceError
from .audit import Audit
from .engines import Engines
from .job_store import JobStore
from .records import StudyState
from .spool import Spool

NO_STUDY = "no study has this key: alta service status lists those that need somebody"
NO_IMAGES = "its images are kept no longer: send the study again, then retry it"
_LOG_TRIES = 20
_log = logging.getLogger("alta_sdk")


class Actions:
    """Acts on the state of a service; safe to share between threads."""

    def __init__(
        self,
        store: JobStore,
        spool: Spool,
        audit: Audit,
        engines: Engines | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Use the open state. engines: of the process that serves. on_change: called when a study waits again."""
        self._store, self._spool, self._audit, self._engines = store, spool, audit, engines
        self._on_change = on_change

    def retry(self, key: str, actor: str) -> str:
        """Let a refused or failed study be scored again; return why that is not done, in one line, empty if it is."""
        study = self._store.get_study(key)
        if study is None:
            return NO_STUDY
        if study.state not in (StudyState.REFUSED, StudyState.FAILED):
            return f"study is {study.state}: only one that is refused or failed is scored again"
        if not all(one.file for one in self._store.list_instances(key)):
            return NO_IMAGES
        if not self._store.retry_study(key):
            return "study has changed its state just now: ask again"
        self._audit.note(actor, "retried", key)
        self._on_change()
        return ""

    def erase(self, key: str, actor: str) -> bool:
        """Remove a study's files and every row of it but the audit's; False if there is no such study.

        Nothing of it is in the queue's file or its log afterwards.
        """
        is_known = self.forget(key, actor)
        for _ in range(_LOG_TRIES):
            if self._store.database.empty_log():
                return is_known
            time.sleep(0.1)
        raise ServiceError("study is erased, but another program holds the queue's log: end it, and erase once more")

    def forget(self, key: str, actor: str) -> bool:
        """Remove a study as `erase` does, but for what the queue's log still holds: who calls cuts that."""
        is_known = self._store.get_study(key) is not None
        if is_known:
            self._audit.note(actor, "erased", key)
        self._spool.remove(self._store.erase_study(key))
        return is_known

    def reload(self, actor: str) -> dict[str, str]:
        """Open every engine anew; return their hashes by name. Raises ServiceError, and those before stay."""
        if self._engines is None:
            raise ServiceError("no service runs: engines are opened anew when it starts")
        before = self._engines.list_hashes()
        after = self._engines.open_all()
        for name, sha256 in after.items():
            change = "as before" if before.get(name) == sha256 else f"before {before.get(name, 'none')}"
            self._audit.note(actor, "reloaded", detail=f"{name} {sha256}, {change}")
            _log.info("engine %s was opened anew: %s, %s", name, sha256, change)
        return after

    def perform(self, verb: str, argument: str, actor: str) -> str:
        """Do what an order says, and say in one line what came of it. Raises ServiceError if it cannot be done."""
        if verb == "retry":
            if refusal := self.retry(argument, actor):
                raise ServiceError(refusal)
            return "study waits for its scoring"
        if verb == "erase":
            if not self.erase(argument, actor):
                raise ServiceError(NO_STUDY)
            return "study is erased"
        if verb == "reload":
            return ", ".join(f"{name} {sha256}" for name, sha256 in self.reload(actor).items())
        raise ServiceError("order is unknown: the service is of another version than the command")
