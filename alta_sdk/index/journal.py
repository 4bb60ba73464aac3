"""What a long run of `alta embed` has done so far, so that it may be killed at any moment.

A file beside the index that only grows: one record per study, under a checksum. A record that was cut
short by a kill is dropped at the next start, and its study embedded again. No name and no text is in it.

    header   "ALTAJNL" and 1; SHA-256 of what the run is (engine, fusion mode, site key): 40 bytes
    record   key (16), 1 if embedded and 0 if unreadable (1), vector (4 × d; zeros if unreadable), CRC-32 (4)
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..engine.vectors import Vector
from ..errors import EngineError
from ..study.key import KEY_BYTES
from .search import IndexOrigin

MARK = b"ALTAJNL\x01"
_HEADER_BYTES = len(MARK) + 32
_CRC = struct.Struct("<I")


class EmbeddingJournal:
    """The studies done so far, by key: a vector, or None for one that could not be read."""

    def __init__(self, file: BinaryIO, width: int) -> None:
        """Use `open_journal`."""
        self._file = file
        self._width = width
        self.done: dict[bytes, Vector | None] = {}

    def add(self, key: bytes, vector: Vector | None) -> None:
        """Write one study down; when this returns a kill cannot lose it."""
        numbers = np.zeros(self._width, "<f4") if vector is None else vector.astype("<f4")
        body = key + bytes([vector is not None]) + numbers.tobytes()
        try:
            self._file.write(body + _CRC.pack(zlib.crc32(body)))
            self._file.flush()
        except OSError as error:
            raise EngineError(
                f"journal of the index cannot be written: {error.strerror}; run again to go on"
            ) from error
        self.done[key] = vector

    def read(self) -> None:
        """Take over what an earlier run wrote, and drop what it had not finished writing."""
        size = KEY_BYTES + 1 + 4 * self._width + _CRC.size
        end = self._file.seek(_HEADER_BYTES)
        while len(record := self._file.read(size)) == size:
            body, checksum = record[: -_CRC.size], record[-_CRC.size :]
            if _CRC.unpack(checksum)[0] != zlib.crc32(body):
                break
            end += size
            vector: NDArray[np.float32] = np.frombuffer(body, "<f4", offset=KEY_BYTES + 1)
            self.done[body[:KEY_BYTES]] = vector.astype(np.float32) if body[KEY_BYTES] else None
        self._file.seek(end)
        self._file.truncate()


@contextmanager
def open_journal(path: Path, origin: IndexOrigin, width: int) -> Iterator[EmbeddingJournal]:
    """Open or begin the journal of one run, held against other processes by a lock file beside it.

    Raises EngineError if another process holds it, or if it belongs to another engine, fusion mode or
    site key.
    """
    header = MARK + hashlib.sha256(repr((origin, width)).encode()).digest()
    with _hold(path), _open(path) as file:
        found = file.read(_HEADER_BYTES)
        if len(found) < _HEADER_BYTES and header.startswith(found[: len(MARK)]):
            file.seek(0)
            file.truncate()
            file.write(header)
            file.flush()
        elif found != header:
            raise EngineError(
                "an unfinished run with another engine, fusion mode or site key lies beside this index: "
                "finish it as it was begun, or remove its .journal file"
            )
        journal = EmbeddingJournal(file, width)
        journal.read()
        yield journal


@contextmanager
def _hold(path: Path) -> Iterator[None]:
    """Hold a file for this process until the block ends; the system gives it back when the process is killed."""
    from filelock import FileLock, Timeout

    lock_path = path.with_name(path.name + ".lock")
    # Where the disk cannot lock, the index is refused: a marker file would stay behind a killed run.
    lock = FileLock(lock_path, timeout=0, fallback_to_soft=False)
    try:
        path.parent.stat()  # a lock would make a folder that is not there
        lock.acquire()
    except Timeout as error:
        raise EngineError("another process is writing this index: wait for it, or give another --out") from error
    except OSError as error:
        raise _refuse(error) from error
    try:
        yield
    finally:
        # While it is held: who opened it before sees that it is gone, and makes a new one. Windows removes it itself.
        with suppress(OSError):
            lock_path.unlink()
        lock.release()


def _open(path: Path) -> BinaryIO:
    try:
        # Neither "x" nor "w": a file made by a run that was killed at once is taken over, not emptied.
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b")
    except OSError as error:
        raise _refuse(error) from error


def _refuse(error: OSError) -> EngineError:
    return EngineError(f"index cannot be written: {error.strerror}; check --out and its folder")
