"""Add lines to a file that several processes write at once: each line whole or not at all, one after the other.

A lock beside the file orders the writers; the file is opened anew for each line, so that it may be renamed away
(rotated) at any time. A line for which the disk has no room leaves nothing of itself behind.
"""

import errno
import os
import stat
from pathlib import Path

from .locking import hold_lock
from .opening import check_name

LOCK_TIMEOUT_S = 30.0
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND
_FLAGS |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)


def append_line(path: Path, line: bytes) -> None:
    """Add a line, which ends in a line feed, to a file; a new one is readable by its owner alone.

    What a writer that was killed has left of its last line is ended first. Raises OSError for what is no plain file, a
    full disk, a missing right, a lock that another process holds for half a minute; nothing was added then.
    """
    check_name(path)
    real = Path(os.path.realpath(path))
    with hold_lock(real.with_name(f".{real.name}.lock"), LOCK_TIMEOUT_S):
        descriptor = open_to_append(real)
        try:
            size = os.fstat(descriptor).st_size
            try:
                _write(descriptor, line if _ends_a_line(descriptor, size) else b"\n" + line)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)


def open_to_append(path: Path) -> int:
    """Return the descriptor of a file that lines can be added to, made if it is not there; raise OSError otherwise."""
    check_name(path)
    if os.path.exists(path) and not os.path.isfile(path):  # opening what is none may do something
        raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, and no file")
    descriptor = os.open(path, _FLAGS, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a pipe or a device, and no file")
    return descriptor


def _ends_a_line(descriptor: int, size: int) -> bool:
    if not size:
        return True
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) == b"\n"


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it, at the end."""
    while data:
        data = data[os.write(descriptor, data) :]
