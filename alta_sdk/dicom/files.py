"""The files of one study, as bytes in memory: a file, several, a folder, a DICOMDIR, a zip archive, or what a caller
holds of these as bytes, open file or data set.

Nothing is unpacked to disk, so no copy of patient data is left behind. Paths carry names in
hospitals: they go to the debug log only, messages count files instead. Every size is bounded, what
an archive or a directory claims as well as what is read.
"""

import io
import logging
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import StudyError
from .dicomdir import is_dicomdir, list_images
from .held import Held, is_held, read_held
from .study_file import HEAD_BYTES, MAX_FILE_BYTES, FileReader, StudyFile, read_file

PathLike = str | os.PathLike[str]

MAX_FILES = 1000
MAX_STUDY_BYTES = 1 << 31
# Others need decompressors with a memory of their own that a member's header chooses.
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_log = logging.getLogger("alta_sdk")


@dataclass(frozen=True, eq=False)
class StudyFiles:
    """The files of one source, read. is_one_file: the source was a single file, no archive or medium."""

    files: tuple[StudyFile, ...]
    is_one_file: bool = False


FileSource = PathLike | Sequence[PathLike] | StudyFiles
Source = FileSource | Held | Sequence[PathLike | Held]


def read_files(source: Source, reader: FileReader | None = None) -> StudyFiles:
    """Read every file of a study, in the order of their names, each opened once; bytes and data sets as they are given.

    Of a folder's files that are not DICOM only the first bytes are read. A DICOMDIR stands for the images
    that it lists. What was read before is returned as it is.
    reader: hands over what it has read of these files already.
    Raises StudyError if there is none, if there are more than 1000, or if one cannot be read or is
    larger than 1 GiB, or all together than 2 GiB.
    """
    if isinstance(source, StudyFiles):
        return source
    is_one = isinstance(source, str | os.PathLike) or is_held(source)
    reader = FileReader() if reader is None else reader
    found: list[StudyFile] = []
    size = 0
    given: Path | bytes = b""
    things: list[Any] = [source] if is_one else _list_things(source)
    for thing in things:
        given = read_held(thing) if is_held(thing) else Path(thing)
        if isinstance(given, Path):
            _log.debug("reading study from %s", given)
        try:
            for file in _read_held(given) if isinstance(given, bytes) else _read_path(given, reader):
                found.append(file)
                size += file.size
                if len(found) > MAX_FILES or size > MAX_STUDY_BYTES:
                    raise StudyError(
                        f"more than {MAX_FILES} files or {MAX_STUDY_BYTES >> 30} GiB: give the folder of one study"
                    )
        except OSError as error:
            raise StudyError(f"study cannot be read: {error.strerror or 'read error'}; check the path") from error
    if not found:
        raise StudyError("study is empty: the folder or archive holds no file")
    is_itself = found[0].data is given or found[0].path == given
    return StudyFiles(tuple(found), is_one_file=is_one and is_itself)


def _list_things(source: Any) -> list[Any]:
    """Return the paths and other things of a list; raise StudyError if one is nothing that a study is given as."""
    things: list[Any] = []
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        things = list(islice(source, MAX_FILES + 1))
    if not (things or isinstance(source, Sequence)) or not all(
        isinstance(thing, str | os.PathLike) or is_held(thing) for thing in things
    ):
        raise StudyError("a study is given as paths, bytes, open binary files or pydicom data sets: one, or a list")
    return things


def _read_held(data: bytes) -> Iterator[StudyFile]:
    """Yield the file that bytes are, or those of the archive that they are."""
    file = StudyFile(data)
    if file.is_archive:
        yield from _read_zip(io.BytesIO(data))
    elif is_dicomdir(data):
        raise StudyError("DICOMDIR lists files that lie beside it: give its path")
    else:
        yield file


def _read_path(path: Path, reader: FileReader) -> Iterator[StudyFile]:
    if os.path.isdir(path):
        for member in sorted(member for member in path.rglob("*") if member.is_file()):
            found = reader.take(member)
            yield found if found.is_dicom else found.cut(HEAD_BYTES)
        return
    kept = reader.take_kept(path)
    with io.BytesIO(kept.data) if kept else open(path, "rb") as opened:
        head = StudyFile(opened.read(HEAD_BYTES)) if kept is None else kept
        if head.is_archive:  # by its first bytes: an archive may lie behind any file
            yield from _read_zip(opened)
            return
        opened.seek(0)
        file = kept or read_file(opened, path)
    if not is_dicomdir(file.data):
        yield file
        return
    for listed in list_images(file.data, path.parent):
        yield reader.take_kept(listed) or _read_whole(listed)


def _read_whole(path: Path) -> StudyFile:
    with open(path, "rb") as opened:
        return read_file(opened, path)


def _read_zip(opened: BinaryIO) -> Iterator[StudyFile]:
    try:
        with zipfile.ZipFile(opened) as archive:
            if min((m.header_offset for m in archive.infolist()), default=0) > 0:
                raise StudyError("zip archive lies behind another one: give one of the two")
            members = sorted((m for m in archive.infolist() if not m.is_dir()), key=lambda m: m.filename)
            for member in members:
                if member.compress_type not in ZIP_METHODS:
                    raise StudyError("zip archive cannot be read: only stored and deflated members are")
                if member.file_size > MAX_FILE_BYTES:  # zipfile stops at this size, whatever the member holds
                    raise StudyError(f"a file of the archive is larger than {MAX_FILE_BYTES >> 30} GiB: refused")
                yield StudyFile(archive.read(member))
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, ValueError, EOFError) as error:
        raise StudyError("zip archive cannot be read: it is damaged, encrypted or of an unknown kind") from error
