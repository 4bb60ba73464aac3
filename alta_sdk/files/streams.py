"""Targets that are no files: descriptors, pipes and character devices are written through, never replaced.

`--csv /dev/stdout`, `>(gzip)` and a FIFO of another program are what shells and pipelines use. A block device, a
socket and a folder are refused: nothing good comes of writing a table to a disk's first sectors.
"""

import errno
import os
import re
import stat
import sys
import time
from pathlib import Path

from ..errors import AltaError

READER_TIMEOUT_S = 5.0  # for a FIFO: its other end may be opened a moment later
_DESCRIPTOR = re.compile(r"/(?:dev|proc/(?:self|thread-self))/fd/(\d+)")
_NAMED = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_MAX_LINKS = 40


def is_stream(path: Path, what: str) -> bool:
    """Tell whether a target is written through; raise AltaError for one that is neither that nor a plain file."""
    if find_descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # not there yet, or refused when it is written
        return False
    if stat.S_ISREG(mode):
        return False
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return True
    raise AltaError(f"{what} cannot be written: its name is that of a folder, a disk or a socket; give a file")


def find_descriptor(path: Path) -> int | None:
    """Return the open descriptor that a name stands for: a second opening of its file would begin at byte 0."""
    name = os.path.abspath(path)
    for _ in range(_MAX_LINKS):
        if name in _NAMED:
            return _NAMED[name]
        if found := _DESCRIPTOR.fullmatch(name):
            return int(found[1])
        if not os.path.islink(name):
            return None
        name = os.path.normpath(os.path.join(os.path.dirname(name), os.readlink(name)))
    return None


def write_stream(path: Path, data: bytes) -> None:
    """Write all bytes to a descriptor, a FIFO or a device; raises OSError."""
    number = find_descriptor(path)
    if number in (1, 2):
        (sys.stdout if number == 1 else sys.stderr).flush()  # what was printed before comes before
    descriptor = os.dup(number) if number is not None else _open_device(path)
    with open(descriptor, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]


def _open_device(path: Path) -> int:
    """Open a FIFO or a device without waiting for ever, and then let writing wait."""
    flags = os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    give_up = time.monotonic() + READER_TIMEOUT_S
    while True:
        try:
            descriptor = os.open(path, flags)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > give_up:  # ENXIO: nobody reads
                raise
            time.sleep(0.05)
    if os.name != "nt":
        os.set_blocking(descriptor, True)
    return descriptor
