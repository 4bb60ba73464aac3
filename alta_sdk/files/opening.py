"""Open files that others named: regular files only, and looked at without a surprise.

The threat: a pipe that nobody writes to is waited for without end, and opening a device may do something. So what is
no regular file is never opened. `Path.is_dir` and its like raise for a folder that may not be looked into: those of
`os.path` say no, and whoever opens the path is told why.
"""

import contextlib
import errno
import os
import stat
from typing import BinaryIO

PathLike = str | os.PathLike[str]
SPECIAL = "it is a pipe, a socket or a device, and no file"
LINK = "it is a link, and no file"
# NONBLOCK: what became a pipe since it was looked at is not waited for.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def open_file(path: PathLike, *, links: bool = True) -> BinaryIO:
    """Open a regular file for reading its bytes; raise OSError if it cannot be, or is none.

    links: what a link leads to is opened; False refuses one.
    """
    _check_kind(os.stat(path, follow_symlinks=links).st_mode)
    descriptor = os.open(path, _FLAGS if links else _FLAGS | _NO_LINK)
    try:
        _check_kind(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        with contextlib.suppress(OSError):  # Ctrl-C while it was wrapped: the wrapper has closed it already
            os.close(descriptor)
        raise


def is_special(path: PathLike) -> bool:
    """True for a pipe, a socket or a device; false for all else, what is not there and what cannot be looked at."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def stamp_of(opened: BinaryIO) -> tuple[int, ...]:
    """Return what changes when another file takes an open one's place, or it is written to."""
    found = os.fstat(opened.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _check_kind(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, LINK if stat.S_ISLNK(mode) else SPECIAL)
