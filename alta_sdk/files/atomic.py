"""Write files so that a reader sees the old state or the new one, never half of it, and nothing else is lost.

Everything is written to a temporary sibling (same folder, so same disk), flushed, renamed when complete, and the
folder flushed after it. A link stays, and what it names is written. A file that is replaced keeps its mode, a new
one has that of the umask. `os.replace` works on Windows, too; where the system has a rename that refuses a taken
name, or one that lets two paths change places, it is used.
"""

import ctypes
import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .opening import check_name
from .streams import find_descriptor

_AT_FDCWD = ctypes.c_int(-100)  # relative paths are from the working folder
_NO_REPLACE, _EXCHANGE = "no replace", "exchange"
_FLAGS = {"linux": {_NO_REPLACE: 1, _EXCHANGE: 2}, "darwin": {_NO_REPLACE: 4, _EXCHANGE: 2}}
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM)
_OWNER_WRITES = stat.S_IRUSR | stat.S_IWUSR


@contextmanager
def new_file(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary path to write to; on success it becomes `path`, on any error it is removed.

    overwrite: replace a file that is there; without it FileExistsError, also for one that came meanwhile.
    Raises OSError for what is no file, and for a name that no file can have.
    """
    check_name(path)
    if find_descriptor(path) is not None:
        raise OSError(errno.EINVAL, "not a plain file")
    target = Path(os.path.realpath(path))
    temporary = name_sibling(target, "tmp")
    try:
        mode = _read_mode(target)
        _create(temporary, mode)
        yield temporary
        flush(temporary)
        if mode is not None:
            temporary.chmod(mode)
        if overwrite:
            os.replace(temporary, target)
        else:
            place_new(temporary, target)
        sync_folder(target.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _read_mode(target: Path) -> int | None:
    """Return the mode of the file that is to be replaced, None for a new one; OSError for what is no file."""
    try:
        found = target.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found):
        raise OSError(errno.EINVAL, "not a plain file")
    return stat.S_IMODE(found)


def _create(temporary: Path, mode: int | None) -> None:
    """Make the empty file; one that replaces a private file is private from its first byte."""
    first = 0o666 if mode is None else mode & 0o777 | _OWNER_WRITES
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, first))


def place_new(temporary: Path, target: Path) -> None:
    """Give a file or folder its name, unless the name is taken: FileExistsError, of two at once for one."""
    refused = _rename(temporary, target, _NO_REPLACE)
    if refused is None:
        return
    if refused not in _CANNOT:
        raise OSError(refused, os.strerror(refused))  # Python makes FileExistsError of it
    if os.name == "nt" or temporary.is_dir():
        # Windows refuses a taken name itself; elsewhere only an empty folder would be replaced by a folder.
        temporary.rename(target)
        return
    try:
        os.link(temporary, target)
        temporary.unlink()
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links: the name is claimed by an empty file
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        os.replace(temporary, target)


def exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system or the disk cannot."""
    return _rename(one, other, _EXCHANGE) is None


def _rename(one: Path, other: Path, how: str) -> int | None:
    """Rename in a way that Python has no call for; return None, or the error's number (ENOSYS: no such call)."""
    flags = _FLAGS.get(sys.platform)
    if flags is None:
        return errno.ENOSYS
    paths = ctypes.c_char_p(os.fsencode(one)), ctypes.c_char_p(os.fsencode(other))
    flag = ctypes.c_uint(flags[how])
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            done = library.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], flag)
        else:
            done = library.renamex_np(*paths, flag)
    except (AttributeError, OSError):  # an older C library
        return errno.ENOSYS
    return None if done == 0 else ctypes.get_errno()


def name_sibling(path: Path, kind: str) -> Path:
    """Return a hidden name beside a path that nothing else has."""
    # Not tempfile's: its files are private to the user, and a bundle is read by others.
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.{kind}")


def flush(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system and the disk know how."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that may be written and not listed
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(descriptor)
