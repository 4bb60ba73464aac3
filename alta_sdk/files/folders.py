"""Write a folder whole or not at all, over an older one of the same kind alone.

The threat is `--overwrite` and a wrong path: a folder of documents changes places with the new one and is deleted.
So whoever writes a folder says which files such a folder has, and an older one with anything else in it stays: a
file of somebody else is never deleted, not even one that came while the new folder was being filled.

A folder that is replaced changes places with the new one in one step on Linux and macOS; Windows has no such step,
and needs two.
"""

import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path, PurePosixPath

from ..errors import AltaError
from .atomic import exchange, flush, name_sibling, place_new, sync_folder

COUNTED = 100  # of a home folder with a million files, enough to say no
ListOwn = Callable[[Path], Collection[str]]  # the files that a command wrote into a folder, as "a" and "folder/b"


def check_folder(path: Path, *, overwrite: bool, list_own: ListOwn, by: str, error: type[AltaError]) -> None:
    """Raise an error if a folder cannot go there: it exists, or what it holds is not what its command writes.

    by: the command's name. A folder in which its command finds nothing of its own is not replaced either.
    """
    if os.path.lexists(path):
        if not overwrite:
            raise error(f"{path.name} exists: choose another --output, or replace it with --overwrite")
        try:
            is_foreign = bool(find_foreign(path, list_own))
        except OSError as problem:
            raise error(f"{path.name} cannot be read: {problem.strerror}; choose another --output") from problem
        if is_foreign:
            raise error(
                f"{path.name} is not, or not only, what {by} wrote: --overwrite replaces only what {by} wrote; choose "
                "another --output, or move the rest away"
            )
    if not os.path.isdir(os.path.dirname(os.path.realpath(path))):
        raise error(f"--output {path.name}: its parent folder does not exist; make it first")


def find_foreign(path: Path, list_own: ListOwn) -> int:
    """Count what in a folder is none of the command's own files or their folders, up to a hundred.

    What is no folder, and a folder in which nothing tells that the command wrote it, count as one at least.
    """
    own = set(list_own(path)) if os.path.isdir(path) else set()
    if not own:
        return 1
    folders = {str(parent) for name in own for parent in PurePosixPath(name).parents}
    foreign = (1 for entry in path.rglob("*") if not _is_own(entry, entry.relative_to(path).as_posix(), own, folders))
    return sum(islice(foreign, COUNTED))


def _is_own(entry: Path, name: str, own: Collection[str], folders: Collection[str]) -> bool:
    mode = entry.lstat().st_mode
    return name in folders if stat.S_ISDIR(mode) else name in own and stat.S_ISREG(mode)


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False, list_own: ListOwn) -> Iterator[Path]:
    """Give a temporary folder to fill; on success it becomes `path`, on any error it is removed.

    overwrite: replace a folder that holds nothing but what list_own names. FileExistsError for any other that is
    there, or that came meanwhile.
    """
    target = Path(os.path.realpath(path))  # a link stays, and the folder that it names is replaced
    if target.exists():
        _check_replaceable(target, overwrite, list_own)
    temporary = name_sibling(target, "tmp")
    temporary.mkdir()
    try:
        yield temporary
        for entry in temporary.rglob("*"):
            if entry.is_file():
                flush(entry)
            else:
                sync_folder(entry)
        sync_folder(temporary)
        if target.exists():
            _check_replaceable(target, overwrite, list_own)
            old = _replace(temporary, target, list_own)
        else:
            old = None
            place_new(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if old is not None:
        remove_own(old, list_own)
    sync_folder(target.parent)


def _check_replaceable(target: Path, overwrite: bool, list_own: ListOwn) -> None:
    if not overwrite or find_foreign(target, list_own):
        raise FileExistsError(target)


def _replace(temporary: Path, target: Path, list_own: ListOwn) -> Path:
    """Put the new folder in the old one's place and look at the old one once more; return where that lies then."""
    _keep_modes(temporary, target)
    if exchange(temporary, target):
        old = temporary
        if find_foreign(old, list_own):
            exchange(temporary, target)
            raise FileExistsError(target)
    else:
        # Two renames: a process that is killed between them leaves the old folder under its temporary name.
        old = name_sibling(target, "old")
        target.rename(old)
        try:
            if find_foreign(old, list_own):
                raise FileExistsError(target)
            temporary.rename(target)
        except BaseException:
            old.rename(target)
            raise
    return old


def remove_own(folder: Path, list_own: ListOwn) -> None:
    """Delete a folder's own files and then what is empty of its folders; anything else stays where it is."""
    own = sorted(list_own(folder))
    for name in own:
        with suppress(OSError):
            (folder / name).unlink()
    folders = {parent for name in own for parent in PurePosixPath(name).parents}
    for parent in sorted({*folders, PurePosixPath()}, key=lambda one: len(one.parts), reverse=True):
        with suppress(OSError):
            (folder / parent).rmdir()


def _keep_modes(new: Path, old: Path) -> None:
    """Give the new folder, and each file that the old one has, too, the old one's mode."""
    for entry in (new, *new.rglob("*")):
        before = old / entry.relative_to(new)
        with suppress(FileNotFoundError):
            entry.chmod(stat.S_IMODE(before.stat().st_mode))
