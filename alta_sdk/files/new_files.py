"""Create a file that nobody else has made: whole, of a mode that it has from its first byte, never over another."""

import os
import stat
from pathlib import Path

from .atomic import name_sibling, place_new, sync_folder
from .opening import check_name


def create_file(path: Path, data: bytes, mode: int) -> None:
    """Write a new file; raise FileExistsError if the name is taken, of two at once for one of them.

    mode: who may read and write it, before any byte is in it. On Windows it says nothing: there the folder's access
    list guards the file.
    """
    check_name(path)
    temporary = name_sibling(path, "tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if hasattr(os, "fchmod"):
                # Whatever the umask: one that takes the owner's own rights would make a key that nobody can read.
                os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | mode & 0o700)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        place_new(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
