"""Hold a file for one process: the system gives it back when the process ends, also when it is killed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ..errors import EngineError


@contextmanager
def hold_file(file: BinaryIO, busy: str) -> Iterator[None]:
    """Hold an open file until the block ends; raise EngineError(busy) if another process holds it."""
    try:
        _lock(file)
    except OSError as error:
        raise EngineError(busy) from error
    try:
        yield
    finally:
        _unlock(file)


if sys.platform == "win32":
    import msvcrt

    # Windows locks bytes, and may lock bytes that are not there: far behind the end, so that reading
    # and appending stay free.
    _BYTE = 1 << 30

    def _lock(file: BinaryIO) -> None:
        place = file.tell()
        file.seek(_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        finally:
            file.seek(place)

    def _unlock(file: BinaryIO) -> None:
        place = file.tell()
        file.seek(_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        file.seek(place)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
