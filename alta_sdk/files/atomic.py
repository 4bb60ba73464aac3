"""Write files and folders so that a reader sees the old state or the new one, never half of it.

Everything is written to a temporary sibling (same folder, so same disk) and renamed when complete.
`os.replace` works on Windows, too. A folder that is replaced changes places with the new one in one
step on Linux and macOS; Windows has no such step, and needs two.
"""

import ctypes
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; on success it becomes `path`, on any error it is removed."""
    temporary = _sibling(path, "tmp")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder to fill; on success it becomes `path`, on any error it is removed.

    An existing folder is replaced only with `overwrite`: FileExistsError otherwise.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(path)
    temporary = _sibling(path, "tmp")
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        _swap_in(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _swap_in(temporary: Path, path: Path) -> None:
    if not path.exists():
        temporary.rename(path)
        return
    if _exchange(temporary, path):
        shutil.rmtree(temporary, ignore_errors=True)
        return
    # Two renames: a process that is killed between them leaves the old folder under its temporary name.
    old = _sibling(path, "old")
    path.rename(old)
    try:
        temporary.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system or the disk cannot."""
    arguments = ctypes.c_char_p(os.fsencode(one)), ctypes.c_char_p(os.fsencode(other))
    at = ctypes.c_int(-100)  # AT_FDCWD: relative paths are from the working folder
    try:
        if sys.platform == "linux":
            done = ctypes.CDLL(None).renameat2(at, arguments[0], at, arguments[1], ctypes.c_uint(2))
        elif sys.platform == "darwin":
            done = ctypes.CDLL(None).renamex_np(*arguments, ctypes.c_uint(2))
        else:
            return False
    except (AttributeError, OSError):  # an older C library
        return False
    return bool(done == 0)


def _sibling(path: Path, kind: str) -> Path:
    # Not tempfile's: its files are private to the user, and a bundle is read by others.
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.{kind}")


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
