"""One service on one state folder: who holds its lock file serves, and whoever else comes asks him by orders."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ServiceError
from ..files.locking import hold_lock
from .audit import Orders
from .database import FILE_NAME, error_text
from .paths import LOCK

ASK_S = 0.2
HOLD_S = 1.0  # a look at whether somebody serves holds the lock for a moment


def make_state_folder(folder: Path) -> None:
    """Make the folder of queue and spool, readable by its owner alone; raise ServiceError if it cannot be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix":
            folder.chmod(0o700)
    except OSError as error:
        raise ServiceError(
            f"state folder cannot be made: {error_text(error)}; check [service] state and its rights"
        ) from error


@contextmanager
def hold_state(folder: Path) -> Iterator[None]:
    """Hold a state folder until the block ends; raise ServiceError if another process serves it."""
    try:
        with hold_lock(folder / LOCK, HOLD_S):
            yield
    except TimeoutError as error:
        raise ServiceError("a service runs on this state folder already: stop it first, or give another") from error


def is_served(folder: Path) -> bool:
    """True while a process serves a state folder. Raises OSError."""
    try:
        with hold_lock(folder / LOCK, 0):
            return False
    except TimeoutError:
        return True


def require_state(folder: Path) -> None:
    """Raise ServiceError unless a service has run on a folder."""
    if not os.path.isfile(folder / FILE_NAME):
        raise ServiceError("no service has run here: the state folder holds no queue; check [service] state")


def ask_service(folder: Path, orders: Orders, verb: str, argument: str, actor: str, most_seconds: float) -> str:
    """Give an order to the process that serves, and wait for its answer, which begins with "done" or "refused"."""
    number = orders.give(verb, argument, actor)
    until = time.monotonic() + most_seconds
    while time.monotonic() < until:
        answer = orders.take_answer(number)
        if answer is not None:
            return answer
        time.sleep(ASK_S)
    if is_served(folder):
        raise ServiceError("service has not answered yet: the order stands, and will be carried out")
    raise ServiceError("service has ended before it answered: the order stands until its next start")
