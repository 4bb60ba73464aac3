"""Where a file of a study lies, so that its pixels can be left there until they are decoded.

A study's files may hold two gigabytes of pixels, of which four images are decoded. What is read again must be what
was read: a file that was replaced or written to in between is refused.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from ..errors import StudyError
from ..files.opening import open_file, stamp_of
from .archives import read_member


@dataclass(frozen=True)
class FilePlace:
    """A file on disk, as it was when it was read, or a member of that archive by its place in it."""

    path: Path = field(repr=False)
    stamp: tuple[int, ...]
    member: int | None = None

    @classmethod
    def of(cls, path: Path, opened: BinaryIO) -> "FilePlace":
        """Remember an open file."""
        return cls(path, stamp_of(opened))

    def at(self, member: int) -> "FilePlace":
        """Return the place of a member of that archive."""
        return replace(self, member=member)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it again. Raises StudyError if it is gone, or is not what it was."""
        try:
            with open_file(self.path) as opened:
                if stamp_of(opened) != self.stamp:
                    raise StudyError("a file of the study was changed while it was read: read it again")
                yield opened if self.member is None else io.BytesIO(read_member(opened, self.member))
        except OSError as error:
            raise StudyError(f"study cannot be read: {error.strerror or 'read error'}; check the path") from error


@dataclass(frozen=True)
class HeldPlace:
    """A deflated file whose bytes are in memory, or a member of that archive by its place in it."""

    data: bytes = field(repr=False)
    member: int | None = None

    def at(self, member: int) -> "HeldPlace":
        """Return the place of a member of that archive."""
        return replace(self, member=member)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it again."""
        opened = io.BytesIO(self.data)  # which shares the bytes until it is written to
        yield opened if self.member is None else io.BytesIO(read_member(opened, self.member))


Place = FilePlace | HeldPlace
