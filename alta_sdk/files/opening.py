"""Files that others named: what every reader asks of a path, and reads.

`Path.is_dir` and its like raise for a folder that may not be looked into, with the path in the message: those of
`os.path` say no, and whoever opens the path is told why. `open_file` opens what is a regular file, and nothing else.
"""

import io
import os
from typing import BinaryIO

from alta_runtimes.opening import PathLike, check_name, open_file

__all__ = ["PathLike", "check_name", "is_there", "open_file", "read_bytes", "read_text", "stamp_of"]


def read_bytes(path: PathLike, most: int | None = None, *, links: bool = True) -> bytes:
    """Return a regular file's bytes, of a longer one than `most` one more than that; raise OSError as `open_file`."""
    with open_file(path, links=links) as file:
        return file.read() if most is None else file.read(most + 1)


def read_text(path: PathLike, errors: str = "strict") -> str:
    """Return a regular file's text in UTF-8, lines as `Path.read_text` ends them; raise OSError or UnicodeDecodeError.

    errors: "ignore" passes over what is no UTF-8.
    """
    with io.TextIOWrapper(open_file(path), encoding="utf-8", errors=errors) as file:
        return file.read()


def is_there(path: PathLike) -> bool:
    """Tell whether a path leads to something; raise OSError where that cannot be told: a locked folder, a long name."""
    check_name(path)
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def stamp_of(opened: BinaryIO) -> tuple[int, ...]:
    """Return what changes when another file takes an open one's place, or it is written to."""
    found = os.fstat(opened.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
