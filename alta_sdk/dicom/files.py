"""The files of one study, as bytes in memory: a file, several, a folder, a DICOMDIR, a zip archive, or what a caller
holds of these as bytes, open file or data set.

Nothing is unpacked to disk, so no copy of patient data is left behind. Paths carry names in
hospitals: they go to the debug log only, messages count files instead. Every size is bounded, what
an archive or a directory claims as well as what is read.
"""

import io
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import StudyError
from ..files.opening import open_file
from .archives import MAX_ARCHIVE_BYTES, list_members
from .dicomdir import is_dicomdir, list_images
from .folders import FolderWalk
from .held import Held, is_held, read_held
from .places import FilePlace, HeldPlace, Place
from .study_file import HEAD_BYTES, FileReader, StudyFile

PathLike = str | os.PathLike[str]

MAX_FILES = 1000
MAX_ENTRIES = 100_000  # of a folder, its subfolders and theirs
MAX_STUDY_BYTES = 1 << 31
MAX_HELD_BYTES = 1 << 27  # of pixels in memory; beyond, they are left in their files until they are decoded

_log = logging.getLogger("alta_sdk")


@dataclass(frozen=True, eq=False)
class StudyFiles:
    """The files of one source, read. is_one_file: the source was a single file, no archive or medium.

    unread: why a part of it could not be read, one reason for each file or folder. special: the number of pipes,
    sockets and devices that lie among the files, which are no part of it.
    """

    files: tuple[StudyFile, ...]
    is_one_file: bool = False
    unread: tuple[str, ...] = ()
    special: int = 0


FileSource = PathLike | Sequence[PathLike] | StudyFiles
Source = FileSource | Held | Sequence[PathLike | Held]


def read_files(source: Source, reader: FileReader | None = None) -> StudyFiles:
    """Read every file of a study, in the order of their names, each opened once; bytes and data sets as they are given.

    Of a folder's files that are not DICOM only the first bytes are read. A DICOMDIR stands for the images
    that it lists. What was read before is returned as it is. Where there is more than one file, one that cannot be
    read is told in `unread`, for the caller to refuse.
    reader: hands over what it has read of these files already.
    Raises StudyError if there is none, if there are more than 1000, or if one cannot be read or is
    larger than 1 GiB, or all together than 2 GiB.
    """
    if isinstance(source, StudyFiles):
        return source
    is_one = isinstance(source, str | os.PathLike) or is_held(source)
    collection = _Collection(FileReader() if reader is None else reader)
    things: list[Any] = [source] if is_one else _list_things(source)
    for thing in things:
        try:
            if is_held(thing):
                collection.add_held(read_held(thing))
            else:
                _log.debug("reading study from %s", thing)
                collection.add(Path(thing))
        except OSError as error:
            collection.miss(error)
            if is_one:
                break
    found = collection.found
    if not found and collection.unread:
        raise StudyError(f"study cannot be read: {collection.unread[0]}; check the path")
    if not found:
        raise StudyError("study is empty: the folder or archive holds no file")
    is_one_file = is_one and collection.is_of_files
    return StudyFiles(tuple(found), is_one_file, tuple(collection.unread), collection.special)


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


class _Collection:
    """The files of a study as they are found, bounded in number, in size, and in what they hold of memory."""

    def __init__(self, reader: FileReader) -> None:
        self._reader = reader
        self._size, self._held = 0, 0
        self.found: list[StudyFile] = []
        self.unread: list[str] = []
        self.special = 0
        self.is_of_files = True  # what was given is what was found, and no folder, archive or medium

    def add(self, path: Path) -> None:
        """Read what lies at a path. Raises OSError if that cannot be read, StudyError beyond the bounds."""
        is_folder = os.path.isdir(path)
        self.is_of_files &= not is_folder
        self._take(self._read_folder(path) if is_folder else self._read_file(path))

    def add_held(self, data: bytes) -> None:
        """Take a file's bytes, or the members of the archive that they are. Raises StudyError beyond the bounds."""
        self._take(self._read_held(data))

    def _take(self, files: Iterable[StudyFile]) -> None:
        for file in files:
            self._size += file.size
            if len(self.found) == MAX_FILES or self._size > MAX_STUDY_BYTES:
                raise _too_many()
            if self._held + file.count_held_bytes() > MAX_HELD_BYTES:
                file = file.leave_pixels()
            self._held += file.count_held_bytes()
            self.found.append(file)

    def miss(self, error: OSError) -> None:
        """Remember that something cannot be read, and why."""
        self.unread.append(error.strerror or "read error")

    def _read_folder(self, folder: Path) -> Iterator[StudyFile]:
        walk = FolderWalk(folder, MAX_ENTRIES)
        members: list[Path] = []
        for member in walk.find_files():
            members.append(member)
            if len(members) > MAX_FILES:
                raise _too_many()
        self.unread += walk.unread
        self.special += walk.special
        for member in sorted(members):
            try:
                found = self._reader.take(member)
            except OSError as error:
                self.miss(error)
            else:
                yield found.slim(self._reader.budget) if found.is_dicom else found.cut(HEAD_BYTES)

    def _read_held(self, data: bytes) -> Iterator[StudyFile]:
        file = StudyFile(data)
        if file.is_archive:
            self.is_of_files = False
            yield from self._read_archive(io.BytesIO(data), HeldPlace(data))
        elif is_dicomdir(data):
            raise StudyError("DICOMDIR lists files that lie beside it: give its path")
        else:
            self._reader.budget.add_file()
            slim = file.slim(self._reader.budget)
            is_small = len(data) < slim.count_held_bytes()  # deflated
            yield replace(slim, place=HeldPlace(data)) if is_small else slim

    def _read_file(self, path: Path) -> Iterator[StudyFile]:
        kept = self._reader.take_kept(path)
        with io.BytesIO(kept.data) if kept else open_file(path) as opened:
            head = StudyFile(opened.read(HEAD_BYTES)) if kept is None else kept
            if head.is_archive:  # by its first bytes: an archive may lie behind any file
                self.is_of_files = False
                place = FilePlace.of(path, opened) if kept is None else kept.place
                yield from self._read_archive(opened, place)
                return
            opened.seek(HEAD_BYTES)
            file = kept or self._reader.read(opened, path, head.data)
        if not is_dicomdir(file.data):
            yield file
            return
        self.is_of_files = False
        for listed in list_images(file.data, path.parent, self._reader.budget):
            yield self._reader.take_kept(listed) or self._read_listed(listed)

    def _read_listed(self, path: Path) -> StudyFile:
        with open_file(path) as opened:
            return self._reader.read(opened, path, opened.read(HEAD_BYTES))

    def _read_archive(self, opened: BinaryIO, place: Place | None) -> Iterator[StudyFile]:
        """Read the members of a zip; of those that are not DICOM only the first bytes."""
        inflated = 0
        for member in list_members(opened):
            head = StudyFile(member.read(HEAD_BYTES), is_whole=False)
            if not head.is_dicom:
                yield head
                continue
            inflated += member.size
            if inflated > MAX_ARCHIVE_BYTES:
                raise StudyError(f"zip archive holds more than {MAX_ARCHIVE_BYTES >> 30} GiB of images: refused")
            self._reader.budget.add_file()
            self._reader.budget.take_inflated(member.size, member.compressed_size)
            member_place = None if place is None else place.at(member.place)
            yield StudyFile(member.read(), place=member_place).slim(self._reader.budget)


def _too_many() -> StudyError:
    return StudyError(f"more than {MAX_FILES} files or {MAX_STUDY_BYTES >> 30} GiB: give the folder of one study")
