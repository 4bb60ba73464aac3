"""The files of one study: a file, several files, a folder or a zip archive, as bytes in memory.

Nothing is unpacked to disk, so no copy of patient data is left behind. Paths carry names in
hospitals: they go to the debug log only, messages count files instead.
"""

import logging
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from .errors import StudyError

PathLike = str | os.PathLike[str]
Source = PathLike | Sequence[PathLike]

MAX_FILES = 1000
MAX_FILE_BYTES = 1 << 30

_log = logging.getLogger("alta_sdk")


def read_files(source: Source) -> list[bytes]:
    """Read every file of a study, in the order of their names.

    Raises StudyError if there is none, if there are more than 1000, or if one cannot be read or is
    larger than 1 GiB.
    """
    paths = [source] if isinstance(source, str | os.PathLike) else list(source)
    contents: list[bytes] = []
    for path in map(Path, paths):
        _log.debug("reading study from %s", path)
        try:
            for data in _read_path(path):
                contents.append(data)
                if len(contents) > MAX_FILES:
                    raise StudyError(f"more than {MAX_FILES} files: give the folder of one study")
        except OSError as error:
            raise StudyError(f"study cannot be read: {error.strerror or 'read error'}; check the path") from error
    if not contents:
        raise StudyError("study is empty: the folder or archive holds no file")
    return contents


def _read_path(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            yield _bounded(file)
    elif zipfile.is_zipfile(path):
        yield from _read_zip(path)
    else:
        yield _bounded(path)


def _bounded(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise StudyError(f"a file of the study is larger than {MAX_FILE_BYTES >> 30} GiB: refused")
    return path.read_bytes()


def _read_zip(path: Path) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted((m for m in archive.infolist() if not m.is_dir()), key=lambda m: m.filename)
            for member in members:
                if member.file_size > MAX_FILE_BYTES:  # the size is enforced while reading, too
                    raise StudyError(f"a file of the archive is larger than {MAX_FILE_BYTES >> 30} GiB: refused")
                yield archive.read(member)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError, EOFError) as error:
        raise StudyError("zip archive cannot be read: it is damaged, encrypted or of an unknown kind") from error
