"""When a study is complete: nobody says so in DICOM, so it is when nothing of it has come for the quiet time.

The time is that of the monotonic clock, and begins anew at start: a clock that jumps completes nothing.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable

from .job_store import JobStore
from .records import StudyState
from .settings import Settings

_AGAIN_S = 5.0  # after the queue could not be written
_log = logging.getLogger("alta_sdk")


class Completion:
    """Completes studies in a thread of its own.

    on_complete: called after a study has become complete; set before the start.
    """

    def __init__(self, settings: Settings, store: JobStore) -> None:
        """Complete the studies of a store after the quiet time of the settings."""
        self._quiet_s = settings.quiet_seconds
        self._store = store
        self._due: dict[str, float] = {}
        self._condition = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="alta completion", daemon=True)
        self.on_complete: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Give each study that is being received its quiet time anew, and begin."""
        for key in self._store.list_keys(StudyState.RECEIVING):
            self.touch(key)
        self._thread.start()

    def touch(self, key: str) -> None:
        """Say that something new of a study has come."""
        with self._condition:
            self._due[key] = time.monotonic() + self._quiet_s
            self._condition.notify()

    def stop(self) -> None:
        """End the thread; what is not complete stays in receiving."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join()

    def is_alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while key := self._wait_for_one():
            try:
                if self._store.complete_study(key):
                    self.on_complete()
            except sqlite3.Error as error:
                _log.error("a study could not be completed, and is tried again: %s", error)
                with self._condition:
                    self._due.setdefault(key, time.monotonic() + _AGAIN_S)

    def _wait_for_one(self) -> str:
        """Return the key of a study whose time is over; nothing at the end."""
        with self._condition:
            while not self._is_stopping:
                key = min(self._due, key=self._due.__getitem__, default="")
                left = self._due[key] - time.monotonic() if key else None
                if left is not None and left <= 0:
                    del self._due[key]
                    return key
                self._condition.wait(left)
        return ""
