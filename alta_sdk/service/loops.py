"""A thread that does one thing again and again until it is stopped, and survives what goes wrong in it."""

import logging
import threading
from collections.abc import Callable

from .database import error_text

AFTER_FAULT_S = 5.0
FIRST_WAIT_S, LONGEST_WAIT_S = 10.0, 86_400.0  # for a peer that is not there
_log = logging.getLogger("alta_sdk")


def compute_wait_s(failures: int) -> float:
    """Return how long to wait for a peer after so many failures in a row, 1 or more: each time twice as long."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (min(failures, 64) - 1))


class Loop:
    """Calls a step; the step returns how many seconds to wait before the next, 0 for at once.

    Waits are by the monotonic clock, and end early when the loop is woken or stopped.
    """

    def __init__(self, name: str, step: Callable[[], float]) -> None:
        """Name a loop, as the log and the readiness do; nothing runs yet."""
        self.name = name
        self._step = step
        self._condition = threading.Condition()
        self._is_woken = self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=f"alta {name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """End the wait: there is something to do."""
        with self._condition:
            self._is_woken = True
            self._condition.notify_all()

    def stop(self) -> None:
        """Let the step that runs end, and no other begin."""
        self.ask_to_stop()
        self.join()

    def ask_to_stop(self) -> None:
        """Let no other step begin; the one that runs may ask `is_stopping`."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()

    def join(self, seconds: float | None = None) -> None:
        """Wait for the end of the step that runs, at most so long."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    @property
    def is_stopping(self) -> bool:
        """True once it was asked to end."""
        return self._is_stopping

    def is_alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait, for the step itself; True if the loop is to end."""
        with self._condition:
            self._condition.wait_for(lambda: self._is_stopping or self._is_woken, seconds)
            self._is_woken = False
            return self._is_stopping

    def _run(self) -> None:
        seconds = 0.0
        while not self.wait(seconds):
            try:
                seconds = self._step()
            except Exception as error:  # whatever it is, the next step may pass
                _log.error("%s: %s; it goes on in %g s", self.name, describe_fault(error), AFTER_FAULT_S)
                seconds = AFTER_FAULT_S


def describe_fault(error: Exception) -> str:
    """Return an error in one line, without a path: of a stranger's error its kind alone."""
    from sqlite3 import Error

    from ..errors import AltaError

    if isinstance(error, AltaError | Error):
        return str(error)
    if isinstance(error, ImportError) and error.name:
        return f'{error.name} cannot be imported: pip install "alta-sdk[service]"'
    return error_text(error) if isinstance(error, OSError) else f"{type(error).__name__}: not foreseen"
