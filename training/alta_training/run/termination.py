"""SIGTERM: the process that saves notes it, its workers leave it alone."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType


def ignore_termination(worker: int) -> None:
    """Leave SIGTERM, which a scheduler sends to every process of a run, to the process that saves."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def catch_termination() -> Iterator[Callable[[], bool]]:
    """Note SIGTERM instead of dying of it; gives a function that tells whether it came."""
    noted = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield partial(bool, noted)
    finally:
        signal.signal(signal.SIGTERM, before)
