"""The members of a zip archive, one after another in memory, under bounds.

The threat: an archive of kilobytes holds gigabytes, hundreds of thousands of names, or one member under a thousand of
them. The table of contents is bounded before it is read, members may not share bytes, and a member is bounded by the
size that it states, which zipfile does not read beyond.
"""

import errno
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import StudyError

MAX_CONTENTS_BYTES = 1 << 20  # of the table of contents: five thousand members of long names
MAX_MEMBER_BYTES = 1 << 27  # twice the largest frame
MAX_ARCHIVE_BYTES = 1 << 30  # of all members that are read whole
# Others need decompressors with a memory of their own that a member's header chooses.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
LOCAL_HEADER_BYTES = 30  # without the name
PIECE_BYTES = MAX_CONTENTS_BYTES
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    RuntimeError,
    ValueError,
    EOFError,
    ArithmeticError,
    LookupError,
)


@dataclass(frozen=True)
class Member:
    """A member of an open archive."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    @property
    def place(self) -> int:
        """Where it lies in the archive; no two are at one place."""
        return self.info.header_offset

    @property
    def size(self) -> int:
        """The number of bytes that it states."""
        return self.info.file_size

    @property
    def compressed_size(self) -> int:
        """The number of bytes that it takes in the archive, as it states."""
        return self.info.compress_size

    def read(self, count: int = -1) -> bytes:
        """Read its first bytes, or all. Raises StudyError if those are more than the bound."""
        if self.info.compress_type not in METHODS:
            raise StudyError("zip archive cannot be read: only stored and deflated members are")
        if count < 0 and self.size > MAX_MEMBER_BYTES:
            raise StudyError(f"a file of the archive is larger than {MAX_MEMBER_BYTES >> 20} MiB: refused")
        left = self.size if count < 0 else count
        parts = []
        with name_damage(), self.archive.open(self.info) as opened:
            # In pieces: asked for all, zipfile inflates all, whatever size the member states.
            while part := opened.read(min(left, PIECE_BYTES) or 1):
                parts.append(part)
                left -= len(part)
                if count >= 0 and not left:
                    break
        return b"".join(parts)


@contextmanager
def name_damage() -> Iterator[None]:
    """Turn what zipfile raises into StudyError."""
    try:
        yield
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # it went to a place before the file's start
            raise
        raise StudyError("zip archive cannot be read: it is damaged, encrypted or of an unknown kind") from error


def list_members(opened: BinaryIO) -> list[Member]:
    """Return the members that are files, by name.

    Raises StudyError if there are more than the table of contents may hold, or the archive is damaged.
    """
    with name_damage():
        archive = zipfile.ZipFile(_Contents(opened))
        if min((info.header_offset for info in archive.infolist()), default=0) > 0:
            raise StudyError("zip archive lies behind another one: give one of the two")
        _refuse_overlap(archive)
        members = [Member(archive, info) for info in archive.infolist() if not info.is_dir()]
    return sorted(members, key=lambda member: member.info.filename)


def _refuse_overlap(archive: zipfile.ZipFile) -> None:
    """Raise StudyError if members share bytes: a thousand names of one megabyte are a gigabyte to read."""
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    starts = [info.header_offset for info in infos[1:]] + [archive.start_dir]
    for info, following in zip(infos, starts, strict=True):
        if info.header_offset + LOCAL_HEADER_BYTES + info.compress_size > following:
            raise StudyError("zip archive is damaged: files of it share the same bytes")


def read_member(opened: BinaryIO, place: int) -> bytes:
    """Read the member at a place again. Raises StudyError if there is none, or the archive is damaged."""
    for member in list_members(opened):
        if member.place == place:
            return member.read()
    raise StudyError("zip archive cannot be read: a file of it is gone")


class _Contents(io.BufferedIOBase):
    """An archive of which no more than the bound is read at once: zipfile reads the table of contents in one piece."""

    def __init__(self, opened: BinaryIO) -> None:
        self._opened = opened

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:  # zipfile looks for the end of the archive, from near it
            size = MAX_CONTENTS_BYTES
        if size > MAX_CONTENTS_BYTES:
            raise StudyError("zip archive lists more files than a study has: give the archive of one study")
        return self._opened.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._opened.seek(offset, whence)

    def tell(self) -> int:
        return self._opened.tell()

    def seekable(self) -> bool:
        return True
