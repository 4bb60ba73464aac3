"""One process at a time: a lock file beside what is changed, gone when it is done.

`filelock` comes with the tokenizer's package to every install, works on Windows, and the system gives the lock back
when a process is killed.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def hold_lock(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold a lock file for this process until the block ends.

    Raises TimeoutError if another holds it longer than timeout_s, OSError where the disk refuses it.
    """
    from filelock import FileLock, Timeout

    # Where the disk cannot lock, it is refused: a marker file would stay behind a killed run.
    lock = FileLock(path, timeout=timeout_s, fallback_to_soft=False)
    path.parent.stat()  # a lock would make a folder that is not there
    try:
        lock.acquire()
    except Timeout as error:
        raise TimeoutError("another process holds the lock") from error
    try:
        yield
    finally:
        # While it is held: who opened it before sees that it is gone, and makes a new one. Windows removes it itself.
        with suppress(OSError):
            path.unlink()
        lock.release()
