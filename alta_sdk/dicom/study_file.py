"""One file of a study: opened once, and its header parsed once, whoever asks.

Looking through a folder has to read files to tell which study each belongs to. What was read then is kept for
the study's own reading, up to a bound of bytes, so that no file is opened twice; beyond the bound it is read again.
"""

import hashlib
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from ..errors import DicomError, StudyError
from ..files.opening import open_file
from .bounded_file import ReadBudget
from .dicomdir import is_dicomdir
from .image import DicomImage, read_image
from .lost_files import explain_loss
from .parsing import is_dicom
from .pixels import StoredPixels
from .places import FilePlace, Place
from .stated import Stated

MAX_FILE_BYTES = 1 << 30
MAX_WHOLE_BYTES = 1 << 27  # of a file that is held in memory as a whole: twice the largest frame
HEAD_BYTES = 1024  # enough to tell what a file is, a DICOM file without preamble, too
IMAGE_MARKS = (b"\xff\xd8\xff", b"\x89PNG\r\n")  # JPEG, PNG
ARCHIVE_MARK = b"PK\x03\x04"  # zip
EMPTY_ARCHIVE_MARK = b"PK\x05\x06"
SUFFIXES = (".dcm", ".dicom")  # damaged ones, too: reading them says what is wrong


@dataclass(frozen=True, eq=False)
class StudyFile:
    """A file's bytes, and what it says if it is DICOM. path: None for a member of an archive.

    data: all of it, or the first bytes of a file that no study can be made of (is_whole is false then); nothing where
    `parsed` is kept in its place, which has the pixels. dropped: the number of bytes that were read and not kept,
    digest: their SHA-256, if nothing else names the file. place: where it can be read again. member: its name
    in an archive.
    """

    data: bytes = field(repr=False)
    path: Path | None = field(default=None, repr=False)
    is_whole: bool = True
    parsed: Stated[DicomImage] | None = field(default=None, repr=False)
    dropped: int = 0
    digest: bytes = field(default=b"", repr=False)
    place: Place | None = field(default=None, repr=False)
    member: str = field(default="", repr=False)

    @property
    def loss(self) -> str:
        """Why it may be what is left of an image, though it is not DICOM; empty for DICOM and files of other kinds."""
        if self.is_dicom:
            return ""
        return explain_loss(self._name, self.data[:HEAD_BYTES])

    @property
    def _name(self) -> str:
        return self.path.name if self.path is not None else self.member.rpartition("/")[2]

    @property
    def size(self) -> int:
        """The number of bytes that were read."""
        return len(self.data) + self.dropped

    @cached_property
    def is_dicom(self) -> bool:
        """True if the bytes open as DICOM."""
        return self.parsed is not None or is_dicom(self.data)

    @property
    def is_image(self) -> bool:
        """True if it is a JPEG or PNG file, by its first bytes."""
        return self.data.startswith(IMAGE_MARKS) and not self.is_dicom

    @property
    def is_archive(self) -> bool:
        """True if it is a zip archive, by its first bytes: one that lies behind another file is not asked."""
        return self.data.startswith((ARCHIVE_MARK, EMPTY_ARCHIVE_MARK)) and not self.is_dicom

    @property
    def may_be_study(self) -> bool:
        """True if a study can be made of it, or it claims to be one by its name."""
        suffix = "" if self.path is None else self.path.suffix.lower()
        return self.is_dicom or self.data.startswith((*IMAGE_MARKS, ARCHIVE_MARK)) or suffix in SUFFIXES

    def slim(self, budget: ReadBudget | None = None) -> "StudyFile":
        """Return the file with what it says in place of its bytes, if it is DICOM; else the file itself.

        A study that no header names is named by its bytes. budget: of parsing it, shared with other files.
        """
        if self.parsed is not None or not self.is_dicom:
            return self
        data = self.data
        parsed = Stated.read(lambda: _read_dicom(data, data, budget))
        slim = replace(self, data=b"", parsed=parsed, dropped=self.size)
        return slim if slim.read_study_uid() else replace(slim, digest=hashlib.sha256(data).digest())

    def leave_pixels(self) -> "StudyFile":
        """Return the file without its pixels, if they can be read again when they are decoded."""
        image, place = self.find_image(), self.place
        if image is None or place is None:
            return self

        def read_again() -> StoredPixels:
            with place.open() as opened:
                return read_image(opened).stored

        left = replace(image, stored=image.stored.leave(read_again))
        return replace(self, parsed=Stated.read(lambda: left))

    def count_held_bytes(self) -> int:
        """Return the bytes of memory that a file and its header hold."""
        image = self.find_image()
        return len(self.data) + (0 if image is None else len(image.stored.data))

    def read_image(self) -> DicomImage:
        """Return what the file says; parsed when first asked for. Raises DicomError as `image.read_image` does."""
        return self._image.get()

    def read_study_uid(self) -> str:
        """Return the StudyInstanceUID, patient data; empty if there is none, or the file cannot be read as DICOM."""
        image = self.find_image()
        return "" if image is None else image.keys.study_uid

    def read_digest(self) -> bytes:
        """Return the SHA-256 of its bytes."""
        return self.digest or hashlib.sha256(self.data).digest()

    @cached_property
    def _image(self) -> Stated[DicomImage]:
        return self.parsed or Stated.read(lambda: _read_dicom(self.data, self.data))

    def find_image(self) -> DicomImage | None:
        """Return what the file says, None if it is not DICOM or cannot be read as such."""
        try:
            return self.read_image() if self.is_dicom else None
        except StudyError:
            return None

    def cut(self, count: int) -> "StudyFile":
        """Return the file as if no more than its first bytes had been read."""
        return StudyFile(self.data[:count], self.path, is_whole=False)


def _read_dicom(source: bytes | BinaryIO, begun: bytes, budget: ReadBudget | None = None) -> DicomImage:
    """Read a DICOM file by its bytes, or open; begun: its first bytes.

    Raises DicomError for a picture or an archive that is a DICOM file, too, since nobody can tell which one was meant:
    what PS3.10 leaves free at the start of a DICOM file has room for the start of another one.
    """
    if is_dicom(begun) and begun.startswith((*IMAGE_MARKS, ARCHIVE_MARK, EMPTY_ARCHIVE_MARK)):
        raise DicomError("file is DICOM and a picture or archive at once: give one that is DICOM alone")
    return read_image(source, budget)


@dataclass(frozen=True)
class FileLook:
    """What one look at a file tells. study_uid: as `StudyFile.read_study_uid` gives it, patient data.

    failure: why the file cannot be read. Such a file may be a study: reading it tells, and others are scored.
    """

    may_be_study: bool
    study_uid: str = field(repr=False)
    is_archive: bool = False
    failure: OSError | StudyError | None = None


class FileReader:
    """Reads files, each once: what was looked at is kept until its study is read, as long as there is room.

    What a look told is remembered beyond that, and why a file could not be read. budget: of parsing, for all of them.
    """

    def __init__(self, room: int = 0) -> None:
        """Keep files that were looked at, with their parsed headers, in at most `room` bytes."""
        self._room = room
        self._kept: dict[Path, StudyFile] = {}
        self._looks: dict[Path, FileLook] = {}
        self.budget = ReadBudget()

    def look(self, path: Path) -> FileLook:
        """Say what a file is: DICOM is read whole, so is what may be a study and fits, of others the first bytes."""
        if path not in self._looks:
            self._looks[path] = self._look(path)
        return self._looks[path]

    def take(self, path: Path) -> StudyFile:
        """Return a file that lies beside others, and forget it: whole if it is DICOM, else at least its first bytes.

        Raises OSError, or StudyError if it is larger than the bound.
        """
        return self._forget(path) or self._read_what_matters(path, 0)

    def take_kept(self, path: Path) -> StudyFile | None:
        """Return a whole file that was kept, and forget it; None if it has to be read. Raises as `take` does."""
        found = self._forget(path)
        return found if found is not None and found.is_whole else None

    def read(self, opened: BinaryIO, path: Path, begun: bytes = b"") -> StudyFile:
        """Read an open file to its end, behind the bytes that were read already; of DICOM, what it says is kept.

        Raises StudyError if it is larger than the bound.
        """
        size, place = os.fstat(opened.fileno()).st_size, FilePlace.of(path, opened)
        if size > MAX_FILE_BYTES:
            raise StudyError(f"a file of the study is larger than {MAX_FILE_BYTES >> 30} GiB: refused")
        self.budget.add_file()
        if is_dicom(begun) and size > MAX_WHOLE_BYTES:
            return self._read_in_place(opened, begun, StudyFile(b"", path, dropped=size, place=place))
        data = begun + opened.read(MAX_WHOLE_BYTES + 1 - len(begun))
        if len(data) > MAX_WHOLE_BYTES:
            raise StudyError(f"a file that is not DICOM is larger than {MAX_WHOLE_BYTES >> 20} MiB: refused")
        file = StudyFile(data, path, place=place)
        return file if is_dicomdir(data) else file.slim(self.budget)

    def _read_in_place(self, opened: BinaryIO, begun: bytes, file: StudyFile) -> StudyFile:
        file = replace(file, parsed=Stated.read(lambda: _read_dicom(opened, begun, self.budget)))
        if file.read_study_uid():
            return file
        opened.seek(0)
        digest = hashlib.sha256()
        while block := opened.read(1 << 20):
            digest.update(block)
        return replace(file, digest=digest.digest())

    def _look(self, path: Path) -> FileLook:
        try:
            found = self._read_what_matters(path, self._room)
        except (OSError, StudyError) as error:
            return FileLook(may_be_study=True, study_uid="", failure=error.with_traceback(None))
        held = found.count_held_bytes()
        if held <= self._room:
            self._kept[path] = found
            self._room -= held
        return FileLook(found.may_be_study, found.read_study_uid(), found.is_archive)

    def _forget(self, path: Path) -> StudyFile | None:
        look = self._looks.get(path)
        if look is not None and look.failure is not None:
            raise look.failure
        found = self._kept.pop(path, None)
        if found is not None:
            self._room += found.count_held_bytes()
        return found

    def _read_what_matters(self, path: Path, room: int) -> StudyFile:
        """Read a file's first bytes, and the rest if it is DICOM, or may be a study and is no larger than `room`."""
        with open_file(path) as opened:
            head = StudyFile(opened.read(HEAD_BYTES), path, is_whole=False)
            fits = os.fstat(opened.fileno()).st_size <= min(room, MAX_WHOLE_BYTES)
            return self.read(opened, path, head.data) if head.is_dicom or head.may_be_study and fits else head
