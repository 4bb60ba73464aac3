"""Where what is retrieved of earlier studies is put: a folder that takes so many files and bytes and no more.

It is closed when the time is over. Whoever still retrieves then writes nothing any more, so the folder can be removed.
"""

import threading
from pathlib import Path

from ..errors import ServiceError

MAX_FILES = 32
MAX_BYTES = 1 << 28


class PriorFiles:
    """Takes files from the thread that retrieves; safe to close from another."""

    def __init__(self, folder: Path) -> None:
        """Begin in an empty folder."""
        self._folder = folder
        self._lock = threading.Lock()
        self._paths: list[Path] = []
        self._count = self._bytes = 0
        self._is_closed = False
        self.is_full = False  # more was sent than there is room for
        self.is_partial = False  # the archive could not send all

    def write(self, data: bytes) -> bool:
        """Keep a DICOM file; False beyond the bounds. Raises ServiceError once it is closed, OSError of the disk."""
        with self._lock:
            if self._is_closed:
                raise ServiceError("the time is over")
            if self._count >= MAX_FILES or self._bytes + len(data) > MAX_BYTES:
                self.is_full = True
                return False
            path = self._folder / f"{self._count:02d}.dcm"
            path.write_bytes(data)
            self._count += 1
            self._bytes += len(data)
            self._paths.append(path)
            return True

    def get_room(self) -> int:
        """Return how many bytes may still come."""
        with self._lock:
            return MAX_BYTES - self._bytes

    def take(self) -> tuple[Path, ...]:
        """Return what came since this was asked last."""
        with self._lock:
            taken, self._paths = tuple(self._paths), []
            return taken

    def close(self) -> None:
        """Take no more."""
        with self._lock:
            self._is_closed = True
