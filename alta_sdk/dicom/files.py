"""The files of one study: a file, several files, a folder, a DICOMDIR or a zip archive, as bytes in memory.

Nothing is unpacked to disk, so no copy of patient data is left behind. Paths carry names in
hospitals: they go to the debug log only, messages count files instead. Every size is bounded, what
an archive or a directory claims as well as what is read.
"""

import logging
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import StudyError
from .dicomdir import is_dicomdir, list_images
from .image import is_dicom

PathLike = str | os.PathLike[str]
Source = PathLike | Sequence[PathLike]

MAX_FILES = 1000
MAX_FILE_BYTES = 1 << 30
MAX_STUDY_BYTES = 1 << 31
HEAD_BYTES = 1024  # enough to tell what a file is
# Others need decompressors with a memory of their own that a member's header chooses.
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_log = logging.getLogger("alta_sdk")


def read_files(source: Source) -> list[bytes]:
    """Read every file of a study, in the order of their names.

    Of a folder's files that are not DICOM only the first bytes are read. A DICOMDIR stands for the images
    that it lists.
    Raises StudyError if there is none, if there are more than 1000, or if one cannot be read or is
    larger than 1 GiB, or all together than 2 GiB.
    """
    paths = [source] if isinstance(source, str | os.PathLike) else list(source)
    contents: list[bytes] = []
    size = 0
    for path in map(Path, paths):
        _log.debug("reading study from %s", path)
        try:
            for data in _read_path(path):
                contents.append(data)
                size += len(data)
                if len(contents) > MAX_FILES or size > MAX_STUDY_BYTES:
                    raise StudyError(
                        f"more than {MAX_FILES} files or {MAX_STUDY_BYTES >> 30} GiB: give the folder of one study"
                    )
        except OSError as error:
            raise StudyError(f"study cannot be read: {error.strerror or 'read error'}; check the path") from error
    if not contents:
        raise StudyError("study is empty: the folder or archive holds no file")
    return contents


def _read_path(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            head = _read_bounded(file, HEAD_BYTES)
            yield read_whole(file) if is_dicom(head) else head
    elif zipfile.is_zipfile(path):
        yield from _read_zip(path)
    else:
        data = read_whole(path)
        if not is_dicomdir(data):
            yield data
            return
        for file in list_images(data, path.parent):
            yield read_whole(file)


def read_whole(path: Path) -> bytes:
    """Return a file's bytes; raise StudyError if it is larger than the bound."""
    data = _read_bounded(path, MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise StudyError(f"a file of the study is larger than {MAX_FILE_BYTES >> 30} GiB: refused")
    return data


def _read_bounded(path: Path, limit: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(limit)


def _read_zip(path: Path) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted((m for m in archive.infolist() if not m.is_dir()), key=lambda m: m.filename)
            for member in members:
                if member.compress_type not in ZIP_METHODS:
                    raise StudyError("zip archive cannot be read: only stored and deflated members are")
                if member.file_size > MAX_FILE_BYTES:  # zipfile stops at this size, whatever the member holds
                    raise StudyError(f"a file of the archive is larger than {MAX_FILE_BYTES >> 30} GiB: refused")
                yield archive.read(member)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, ValueError, EOFError) as error:
        raise StudyError("zip archive cannot be read: it is damaged, encrypted or of an unknown kind") from error
