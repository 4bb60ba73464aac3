"""A graph's bytes where nobody else can change them, as cheap as a file for a back end to read.

Back ends copy a graph that is given as bytes once or twice more while they load it: 790 MB more than from a file, of
a graph of 465 MB. So on Linux the bytes go into a file in memory that has no name, and the back end reads that one.
Elsewhere they stay bytes. Before anybody looks at the file it is sealed: this user's other processes could open it
under /proc, and no longer write to it then.
"""

import contextlib
import mmap
import os
from typing import Self

SEALS = 0x1 | 0x2 | 0x4 | 0x8  # F_SEAL_SEAL, _SHRINK, _GROW and _WRITE of fcntl.h


class PrivateCopy:
    """Bytes that are written once, looked at, and loaded; closed when they are loaded."""

    def __init__(self) -> None:
        """Make an empty one."""
        self._blocks: list[bytes] = []
        self._file: int | None = None
        if hasattr(os, "memfd_create"):
            with contextlib.suppress(OSError):  # forbidden, or too many open files
                self._file = os.memfd_create("alta-graph", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        if self._file is not None and not os.path.exists(self._path):  # no /proc
            self.close()

    def write(self, block: bytes) -> None:
        """Append a block; raises OSError where memory is short."""
        if self._file is None:
            self._blocks.append(block)
            return
        left = memoryview(block)
        while left:
            left = left[os.write(self._file, left) :]

    def view(self) -> memoryview:
        """Return all bytes, to look at; none is written any more."""
        if self._file is None:
            return memoryview(self._join())
        return memoryview(self._map(mmap.PROT_READ) or b"")  # unmapped when nobody looks any more

    def map(self) -> mmap.mmap | None:
        """Return all bytes for a back end that reads on from there; what it writes changes nothing but this map.

        None where they are in no file in memory, or there are none.
        """
        return None if self._file is None else self._map(mmap.PROT_READ | mmap.PROT_WRITE)

    @property
    def source(self) -> str | bytes:
        """What a back end is given: the path of the file without a name, in this process, or the bytes."""
        if self._file is None:
            return self._join()
        _seal(self._file)
        return self._path

    def close(self) -> None:
        """Let go of the bytes."""
        self._blocks.clear()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the bytes."""
        self.close()

    def __del__(self) -> None:
        """Let go of the bytes of one that nobody has loaded."""
        self.close()

    @property
    def _path(self) -> str:
        return f"/proc/self/fd/{self._file}"

    def _map(self, protection: int) -> mmap.mmap | None:
        assert self._file is not None  # for mypy
        _seal(self._file)
        size = os.fstat(self._file).st_size
        # Private, since kernels before 6.7 take any shared map of a sealed file for one that may write.
        return mmap.mmap(self._file, size, flags=mmap.MAP_PRIVATE, prot=protection) if size else None

    def _join(self) -> bytes:
        self._blocks[:] = [b"".join(self._blocks)]
        return self._blocks[0]


def _seal(file: int) -> None:
    """Let nobody change a file in memory any more, its size included."""
    import fcntl

    with contextlib.suppress(OSError):  # sealed before
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, SEALS)
