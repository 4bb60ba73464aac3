"""When a study is complete: nobody says so in DICOM, so it is when nothing of it has come for the quiet time.

The time is that of the monotonic clock, and begins anew at start: a clock that jumps completes nothing.
"""

import threading
import time
from collections.abc import Callable

from .job_store import JobStore
from .loops import Loop
from .records import StudyState
from .settings import Settings

_IDLE_S = 3600.0


class Completion:
    """Completes studies in a thread of its own.

    on_complete: called after a study has become complete; set before the start.
    """

    def __init__(self, settings: Settings, store: JobStore) -> None:
        """Complete the studies of a store after the quiet time of the settings."""
        self._quiet_s = settings.quiet_seconds
        self._store = store
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()
        self._loop = Loop("completion", self._step)
        self.on_complete: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Give each study that is being received its quiet time anew, and begin."""
        for key in self._store.list_keys(StudyState.RECEIVING):
            self.touch(key)
        self._loop.start()

    def touch(self, key: str) -> None:
        """Say that something new of a study has come."""
        with self._lock:
            self._due[key] = time.monotonic() + self._quiet_s
        self._loop.wake()

    def stop(self) -> None:
        """End the thread; what is not complete stays in receiving."""
        self._loop.stop()

    def is_alive(self) -> bool:
        """True while the thread runs."""
        return self._loop.is_alive()

    def _step(self) -> float:
        """Complete the study whose time is over, if there is one; return how long there will be none."""
        with self._lock:
            key = min(self._due, key=self._due.__getitem__, default="")
            left = self._due[key] - time.monotonic() if key else _IDLE_S
            if left > 0:
                return left
            at = self._due.pop(key)
        try:
            if self._store.complete_study(key):
                self.on_complete()
        except BaseException:  # the loop says why, and tries it again
            with self._lock:
                self._due.setdefault(key, at)
            raise
        return 0.0
