"""The files in a folder and its subfolders: every one, or said why not.

`Path.rglob` passes over what it may not look into, and ends with a RecursionError in folders within folders. Here a
lateral radiograph in a locked subfolder is missed, and told.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import StudyError


@dataclass
class FolderWalk:
    """Walks a folder once, and keeps what it met beside files.

    max_entries: more than so many are refused. unread: why a subfolder or entry could not be looked into, one reason
    for each. special: the number of pipes, sockets and devices. entries: how many were looked at.
    """

    folder: Path
    max_entries: int | None = None
    unread: list[str] = field(default_factory=list)
    special: int = 0
    entries: int = 0

    def find_files(self) -> Iterator[Path]:
        """Yield the files of the folder and its subfolders, in no order; links to folders are not followed.

        Raises OSError if the folder itself cannot be read, StudyError beyond the bound.
        """
        pending = [os.fspath(self.folder)]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(folder) as found:
                    for entry in found:
                        self.entries += 1
                        self._check_number()
                        if self._is_file(entry, pending):
                            yield Path(entry.path)
            except OSError as error:
                if self.entries == 0:
                    raise
                self._miss(error)

    def _is_file(self, entry: "os.DirEntry[str]", pending: list[str]) -> bool:
        try:
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
                return False
            if entry.is_file(follow_symlinks=False):  # needs no system call
                return True
            mode = entry.stat().st_mode
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP):  # links to nowhere and to themselves
                self._miss(error)
            return False
        self.special += not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
        return stat.S_ISREG(mode)

    def _check_number(self) -> None:
        if self.max_entries is not None and self.entries > self.max_entries:
            raise StudyError(f"more than {self.max_entries} files and folders: give the folder of one study")

    def _miss(self, error: OSError) -> None:
        self.unread.append(error.strerror or "read error")
