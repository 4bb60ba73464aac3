"""The files in a folder and its subfolders: every one, or said why not.

`Path.rglob` passes over what it may not look into, and ends with a RecursionError in folders within folders. Here a
lateral radiograph in a locked subfolder, or behind a link that leads nowhere, is missed, and told. A link to a folder
elsewhere is followed, each such folder once.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..errors import StudyError

LINK_ENDS = {errno.ENOENT: "a link that leads nowhere", errno.ELOOP: "a link that leads to itself"}
LINK_UP = "a link to a folder above it"
Identity = tuple[int, int]  # device and inode


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
    _own: list[str] = field(default_factory=list, repr=False)  # folders to look into
    _linked: list[str] = field(default_factory=list, repr=False)  # the same, behind links: last, and if not seen
    _seen: set[Identity] = field(default_factory=set, repr=False)

    def find_files(self) -> Iterator[Path]:
        """Yield the files of the folder, of its subfolders and of folders that links lead to, in no order.

        Raises OSError if the folder itself cannot be read, StudyError beyond the bound.
        """
        self._own.append(os.fspath(self.folder))
        while self._own or self._linked:
            subfolders = self._own or self._linked
            folder = subfolders.pop()
            try:
                identity = _identify(os.stat(folder))
                if subfolders is self._linked and identity in self._seen:
                    continue
                self._seen.add(identity)
                with os.scandir(folder) as found:
                    for entry in found:
                        self.entries += 1
                        self._check_number()
                        if self._is_file(entry, subfolders):
                            yield Path(entry.path)
            except OSError as error:
                if self.entries == 0:
                    raise
                self._miss(error)

    def _is_file(self, entry: "os.DirEntry[str]", subfolders: list[str]) -> bool:
        try:
            if entry.is_dir(follow_symlinks=False):
                subfolders.append(entry.path)
                return False
            if entry.is_file(follow_symlinks=False):  # needs no system call
                return True
            found = entry.stat()
        except OSError as error:
            self._miss(error, LINK_ENDS)
            return False
        if stat.S_ISDIR(found.st_mode):
            self._follow(entry.path, _identify(found))
            return False
        self.special += not stat.S_ISREG(found.st_mode)
        return stat.S_ISREG(found.st_mode)

    def _follow(self, link: str, target: Identity) -> None:
        """Note a link to a folder; one that holds the whole walk is more than a study, and told."""
        if target in self._above:
            self.unread.append(LINK_UP)
        else:
            self._linked.append(link)

    @cached_property
    def _above(self) -> set[Identity]:
        return {_identify(os.stat(parent)) for parent in Path(os.path.realpath(self.folder)).parents}

    def _check_number(self) -> None:
        if self.max_entries is not None and self.entries > self.max_entries:
            raise StudyError(f"more than {self.max_entries} files and folders: give the folder of one study")

    def _miss(self, error: OSError, known: dict[int, str] | None = None) -> None:
        self.unread.append((known or {}).get(error.errno or 0) or error.strerror or "read error")


def _identify(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino
