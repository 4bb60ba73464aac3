"""From what a person names to studies, one by one: a folder may be one study or hold many."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ..dicom.files import MAX_ENTRIES, StudyFiles, read_files
from ..dicom.folders import FolderWalk
from ..dicom.study_file import FileReader
from ..errors import StudyError
from ..files.opening import check_name
from ..files.shown import escape_bytes

T = TypeVar("T")
KEPT_BYTES = 1 << 29  # of files that were looked at and their parsed headers, until their studies are read


@dataclass(frozen=True)
class StudyEntry:
    """One study of a list: a file, a folder or a zip, or several DICOM files of one StudyInstanceUID.

    failure: why it could not be looked into, where a list goes on beyond it.
    """

    paths: tuple[Path, ...]
    reader: FileReader = field(default_factory=FileReader, repr=False, compare=False)
    failure: StudyError | None = field(default=None, repr=False, compare=False)

    def read(self) -> StudyFiles:
        """Read its files, but for those that were read when the list was made. Raises what `read_files` raises."""
        if self.failure is not None:
            raise self.failure
        return read_files(self.source, self.reader)

    @property
    def source(self) -> Path | list[Path]:
        """What `load_study` takes."""
        return self.paths[0] if len(self.paths) == 1 else list(self.paths)

    @property
    def name(self) -> str:
        """The name of its first file, as text; patient data."""
        return escape_bytes(self.paths[0].name)


def list_studies(*paths: str | os.PathLike[str], goes_on: bool = False) -> list[StudyEntry]:
    """Return the studies at each path: the path itself, or those of a folder that holds several.

    A folder is one study if its DICOM files share one StudyInstanceUID, otherwise it is split.
    Raises StudyError if the folder cannot be read, or if 100,000 files and folders do not tell which it is; with
    goes_on it is raised when that entry is read, and the others are listed.
    """
    reader = FileReader(KEPT_BYTES)  # one for all, and so one bound
    look = _list_or_fail if goes_on else _list_at
    return [entry for path in paths for entry in look(Path(path), reader)]


def _list_or_fail(path: Path, reader: FileReader) -> list[StudyEntry]:
    try:
        return _list_at(path, reader)
    except StudyError as error:
        return [StudyEntry((path,), reader, error.with_traceback(None))]


def _list_at(folder: Path, reader: FileReader) -> list[StudyEntry]:
    whole = StudyEntry((folder,), reader)
    if not os.path.isdir(folder) or _read(folder, lambda: _is_one_study(folder, reader)):
        return [whole]
    return _read(folder, lambda: _split(folder, reader)) or [whole]


def split_folder(folder: Path) -> list[StudyEntry]:
    """Return the studies that lie directly in a folder, by name.

    Each folder, zip and image is one, and so are DICOM files of one StudyInstanceUID together. Notes and other
    files are passed over. Raises StudyError if the folder cannot be read.
    """
    return _read(folder, lambda: _split(folder, FileReader(KEPT_BYTES)))


def _read(folder: Path, look: Callable[[], T]) -> T:
    try:
        return look()
    except OSError as error:
        raise StudyError(
            f"folder of studies cannot be read: {error.strerror or 'read error'}; check the path"
        ) from error


def _split(folder: Path, reader: FileReader) -> list[StudyEntry]:
    check_name(folder)
    studies: dict[str, tuple[Path, ...]] = {}
    for entry in sorted(folder.iterdir()):
        is_folder = os.path.isdir(entry)
        if not entry.name.startswith(".") and (is_folder or _may_be_study(entry, reader)):
            uid = "" if is_folder else reader.look(entry).study_uid
            group = uid or f"/{entry.name}"  # no UID has a slash
            studies[group] = (*studies.get(group, ()), entry)
    return [StudyEntry(paths, reader) for paths in studies.values()]


def _is_one_study(folder: Path, reader: FileReader) -> bool:
    """True if DICOM files of one study lie anywhere in the folder, none of another, and no zip beside them."""
    found: set[str] = set()
    for file in FolderWalk(folder, MAX_ENTRIES).find_files():
        look = reader.look(file)
        if look.is_archive:
            return False
        if look.study_uid:
            found.add(look.study_uid)
            if len(found) > 1:
                return False
    return len(found) == 1


def _may_be_study(file: Path, reader: FileReader) -> bool:
    """True unless the file is the table of contents of a medium, or nothing that a study can be made of."""
    return file.name.upper() != "DICOMDIR" and reader.look(file).may_be_study
