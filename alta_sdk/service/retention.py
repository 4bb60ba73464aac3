"""What is kept no longer than it must be: images some hours after a study is done, its results some days.

Ages are those of the wall clock, since a service stops and starts. A clock that jumps ahead while it runs removes
nothing early: no more time has passed than the monotonic clock says.
"""

import time
from dataclasses import dataclass

from .actions import Actions
from .job_store import JobStore
from .settings import Keeping
from .spool import Spool

EVERY_S = 60.0
_HOUR_S, _DAY_S = 3600.0, 86_400.0


@dataclass(frozen=True)
class Purged:
    """How many studies lost their images, and how many everything."""

    images: int
    studies: int


class Retention:
    """Removes what is old; one thread calls it."""

    def __init__(self, keeping: Keeping, store: JobStore, spool: Spool, actions: Actions) -> None:
        """Keep things as long as the settings say."""
        self._keeping, self._store, self._spool, self._actions = keeping, store, spool, actions
        self._offset_s = time.time() - time.monotonic()
        self._is_log_cut = True

    def step(self) -> float:
        """Purge; return when to do so again."""
        self.purge()
        return EVERY_S

    def purge(self) -> Purged:
        """Remove what is older than it may be, and cut the queue's log."""
        now = self.tell_time()
        erased = [
            key
            for key in self._store.list_finished(now - self._keeping.results_days * _DAY_S)
            if self._actions.forget(key, "service")
        ]
        emptied = self._store.list_finished(now - self._keeping.images_hours * _HOUR_S, with_images=True)
        for key in emptied:
            self._spool.remove(self._store.forget_images(key))
        if erased or emptied or not self._is_log_cut:
            self._is_log_cut = self._store.database.empty_log()
        return Purged(len(emptied), len(erased))

    def tell_time(self) -> float:
        """Return the time in seconds since the epoch, but no later than the monotonic clock allows."""
        return min(time.time(), time.monotonic() + self._offset_s)
