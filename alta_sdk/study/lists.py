"""From what a person names to studies, one by one: a folder may be one study or hold many."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..dicom.files import read_whole
from ..dicom.image import is_dicom
from ..errors import AltaError, StudyError
from .key import read_study_uid

T = TypeVar("T")
SUFFIXES = (".dcm", ".dicom")  # damaged ones, too: reading them says what is wrong
MARK_BYTES = 1024  # enough to tell a DICOM file without preamble
MARKS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"PK\x03\x04")  # JPEG, PNG, zip


@dataclass(frozen=True)
class StudyEntry:
    """One study of a list: a file, a folder or a zip, or several DICOM files of one StudyInstanceUID."""

    paths: tuple[Path, ...]

    @property
    def source(self) -> Path | list[Path]:
        """What `load_study` takes."""
        return self.paths[0] if len(self.paths) == 1 else list(self.paths)

    @property
    def name(self) -> str:
        """The name of its first file; patient data."""
        return self.paths[0].name


def list_studies(path: str | os.PathLike[str]) -> list[StudyEntry]:
    """Return the studies at a path: the path itself, or those of a folder that holds several.

    A folder is one study if its DICOM files share one StudyInstanceUID, otherwise it is split.
    Raises StudyError if the folder cannot be read.
    """
    folder = Path(path)
    whole = StudyEntry((folder,))
    if not folder.is_dir() or _read(folder, _is_one_study):
        return [whole]
    return split_folder(folder) or [whole]


def split_folder(folder: Path) -> list[StudyEntry]:
    """Return the studies that lie directly in a folder, by name.

    Each folder, zip and image is one, and so are DICOM files of one StudyInstanceUID together. Notes and other
    files are passed over. Raises StudyError if the folder cannot be read.
    """
    return _read(folder, _split)


def _read(folder: Path, look: Callable[[Path], T]) -> T:
    try:
        return look(folder)
    except OSError as error:
        raise StudyError(
            f"folder of studies cannot be read: {error.strerror or 'read error'}; check the path"
        ) from error


def _split(folder: Path) -> list[StudyEntry]:
    studies: dict[str, tuple[Path, ...]] = {}
    for entry in sorted(folder.iterdir()):
        if not entry.name.startswith(".") and (entry.is_dir() or _may_be_study(entry)):
            uid = "" if entry.is_dir() else _read_study_uid(entry)
            group = uid or f"/{entry.name}"  # no UID has a slash
            studies[group] = (*studies.get(group, ()), entry)
    return [StudyEntry(paths) for paths in studies.values()]


def _is_one_study(folder: Path) -> bool:
    """True if DICOM files of one study lie anywhere in the folder, none of another, and no zip beside them."""
    found: set[str] = set()
    for file in folder.rglob("*"):
        if file.suffix.lower() == ".zip":
            return False
        if file.is_file() and (uid := _read_study_uid(file)):
            found.add(uid)
            if len(found) > 1:
                return False
    return len(found) == 1


def _read_study_uid(file: Path) -> str:
    """Return a file's StudyInstanceUID, by the reader and the bounds of studies; empty if it has none."""
    try:
        with open(file, "rb") as opened:
            mark = opened.read(MARK_BYTES)
        return read_study_uid(read_whole(file)) if is_dicom(mark) else ""
    except (OSError, AltaError):  # the study's own reading says what is wrong
        return ""


def _may_be_study(file: Path) -> bool:
    if file.name.upper() == "DICOMDIR":  # the table of contents of a medium, not a study of its own
        return False
    try:
        with open(file, "rb") as opened:
            mark = opened.read(MARK_BYTES)
    except OSError:  # one that cannot be read is told, and the others are scored
        return True
    return is_dicom(mark) or mark.startswith(MARKS) or file.suffix.lower() in SUFFIXES
