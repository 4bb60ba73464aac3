"""Files of the service that are whole and on the disk, or not there: images as they came, results until delivered.

Names say nothing: no UID is in them. What no row of the queue names is left over from a kill, and removed at start:
so a file has its name from its first byte, and renaming it when it is whole would only cost a flush of the disk more.
"""

import os
import secrets
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..files.atomic import sync_folder

_MIB = 1 << 20


class Spool:
    """A folder of files, readable by its owner alone; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if it is not there; OSError if it cannot be."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix":
            folder.chmod(0o700)
        self.folder = folder

    def write(self, parts: Sequence[bytes | memoryview]) -> str:
        """Write a file, wait until it is on the disk, and return its name; OSError leaves nothing."""
        name = secrets.token_hex(16) + ".dcm"
        path = self.folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self.folder)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return name

    def find(self, name: str) -> Path:
        """Return where a file lies."""
        return self.folder / name

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, those that are gone already, too."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
        sync_folder(self.folder)

    def remove_others(self, needed: set[str]) -> int:
        """Remove what is not needed: left over from a kill. Return how many files that was."""
        left = [path for path in self.folder.iterdir() if path.name not in needed]
        for path in left:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        return len(left)

    def measure_free_mib(self) -> int:
        """Return the free space of the disk in MiB."""
        return shutil.disk_usage(self.folder).free // _MIB
