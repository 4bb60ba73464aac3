"""Open files that others named: regular files only, without waiting and without a surprise.

The threat: a pipe that nobody writes to is waited for without end, and opening a device may do something. So what is
no regular file is never opened. A name that no file can have is an OSError here like any other, where Python raises
a ValueError of its own.
"""

import contextlib
import errno
import os
import stat
from io import BufferedReader

PathLike = str | os.PathLike[str]
SPECIAL = "it is a pipe, a socket or a device, and no file"
LINK = "it is a link, and no file"
NO_NAME = "no file can have this name, with a NUL or half a character in it"
# NONBLOCK: what became a pipe since it was looked at is not waited for.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def open_file(path: PathLike, *, links: bool = True) -> BufferedReader:
    """Open a regular file for reading its bytes; raise OSError if it cannot be, or is none.

    links: what a link leads to is opened; False refuses one.
    """
    check_name(path)
    _check_kind(os.stat(path, follow_symlinks=links).st_mode)
    descriptor = os.open(path, _FLAGS if links else _FLAGS | _NO_LINK)
    try:
        _check_kind(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        with contextlib.suppress(OSError):  # Ctrl-C while it was wrapped: the wrapper has closed it already
            os.close(descriptor)
        raise


def check_name(path: PathLike) -> None:
    """Raise OSError for a name that no file can have: with a NUL, or with half of a pair of surrogates."""
    try:
        has_nul = b"\0" in os.fsencode(path)
    except UnicodeEncodeError:
        has_nul = True
    if has_nul:
        raise OSError(errno.EINVAL, NO_NAME)


def _check_kind(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, LINK if stat.S_ISLNK(mode) else SPECIAL)
