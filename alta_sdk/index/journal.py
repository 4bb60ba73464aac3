"""What a long run of `alta embed` has done so far, so that it may be killed at any moment.

A database of SQLite beside the index: one row per study, committed as soon as the study is done (write-ahead log,
synchronous FULL, so that a power cut costs nothing either). A commit that a kill cut short is rolled back at the
next start, and its study embedded again. It is opened in SQLite's exclusive mode: a second process is refused, and
the system gives the lock back when the first is killed. No name and no text is in it.
"""

import hashlib
import os
import random
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engine.vectors import Vector
from ..errors import EngineError
from ..files.opening import check_name
from ..study.key import KEY_BYTES
from .search import IndexOrigin

APPLICATION_ID = 0x414C544A  # "ALTJ"
VERSION = 1
_TRIES = 8
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_OTHER_RUN = (
    "an unfinished run with another engine, fusion mode or site key, or of an older alta-sdk, lies beside this index: "
    "finish it as it was begun, or remove its .journal file"
)
_HELD = "another process is writing this index: wait for it, or give another --out"


class EmbeddingJournal:
    """The studies done so far, by key: a vector, or None for one that could not be read."""

    def __init__(self, database: sqlite3.Connection, width: int) -> None:
        """Use `open_journal`."""
        self._database = database
        self._width = width
        self.done: dict[bytes, Vector | None] = {}

    def add(self, key: bytes, vector: Vector | None) -> None:
        """Write one study down; when this returns neither a kill nor a power cut loses it."""
        numbers = None if vector is None else vector.astype("<f4").tobytes()
        try:
            with self._database:
                self._database.execute(
                    "INSERT OR REPLACE INTO studies VALUES (?, ?, ?)", (key, numbers, _check(key, numbers))
                )
        except sqlite3.Error as error:
            raise EngineError(f"journal of the index cannot be written: {error}; run again to go on") from error
        self.done[key] = vector

    def read(self) -> None:
        """Take over what an earlier run wrote, but what the disk has damaged."""
        for key, numbers, check in self._database.execute("SELECT key, vector, checksum FROM studies"):
            if numbers is None:
                self.done[key] = None  # embedded again in any case
            elif check == _check(key, numbers) and len(key) == KEY_BYTES and len(numbers) == 4 * self._width:
                vector: NDArray[np.float32] = np.frombuffer(numbers, "<f4")
                self.done[key] = vector.astype(np.float32)


def _check(key: bytes, numbers: bytes | None) -> int:
    return zlib.crc32(key + (numbers or b""))


@contextmanager
def open_journal(path: Path, origin: IndexOrigin, width: int) -> Iterator[EmbeddingJournal]:
    """Open or begin the journal of one run, and hold it against other processes until the block ends.

    At the end of the block the journal is removed, since the index is written; an error in it leaves the journal for
    the next run, unless nothing is in it.
    Raises EngineError if another process holds it, if it belongs to another engine, fusion mode or site key, or
    cannot be written.
    """
    identity = hashlib.sha256(repr((origin, width)).encode()).hexdigest()
    database = _open(path)
    journal = EmbeddingJournal(database, width)
    is_done = is_new = False
    try:
        try:
            is_new = _begin(database, identity)
            journal.read()
        except sqlite3.Error as error:
            raise _explain(error) from error
        yield journal
        is_done = True
    finally:
        _close(database, path, remove=is_done or is_new and not journal.done)


def _open(path: Path) -> sqlite3.Connection:
    """Return a connection that holds the file at `path`, which is made if it is not there."""
    for _ in range(_TRIES):
        is_new = _touch(path)
        if not is_new:
            _refuse_foreign(path)
        before = _identify(path)
        # The run may be closed by another thread than began it.
        database = sqlite3.connect(path, timeout=0, check_same_thread=False, isolation_level="IMMEDIATE")
        try:
            _hold(database)
        except sqlite3.Error as error:
            is_busy = _code(error) in _BUSY
            _close(database, path, remove=is_new and not is_busy)  # a file that another holds stays
            if not is_busy:
                raise _explain(error) from error
            time.sleep(random.uniform(0.01, 0.1))  # of two that begin at once, each may have been in the other's way
            continue
        if before is not None and before == _identify(path):
            return database
        database.close()  # its run ended meanwhile and took the file away
    raise EngineError(_HELD)


def _touch(path: Path) -> bool:
    """Make an empty file unless there is one; True if it was made. Raises EngineError with the disk's reason.

    SQLite would make it, too, and tell no reason. No file that is there is opened: closing it again would drop the
    locks that this process holds through SQLite.
    """
    try:
        check_name(path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return False
    except OSError as error:
        raise EngineError(f"index cannot be written: {error.strerror}; check --out and its folder") from error
    return True


def _refuse_foreign(path: Path) -> None:
    """Raise EngineError for what is no journal, as long as nothing of it is changed: a write-ahead log is kept there.

    It is read through SQLite, for the locks' sake, and as what nobody changes: then no file is made beside it. Where a
    log lies there, what it holds counts. What cannot be read so, is told when it is opened for writing.
    """
    if not os.path.isfile(path):
        raise EngineError(_OTHER_RUN)
    log = path.with_name(f"{path.name}-wal")
    has_log = os.path.isfile(log) and os.path.getsize(log) > 0
    address = f"{path.absolute().as_uri()}?mode=ro{'' if has_log else '&immutable=1'}"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=0)) as database:
            _is_empty(database)
    except sqlite3.Error as error:
        if _code(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise _explain(error) from error


def _identify(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _hold(database: sqlite3.Connection) -> None:
    """Lock the file for this process alone, and choose how commits reach the disk."""
    database.execute("PRAGMA locking_mode = EXCLUSIVE")  # before the first access: the log then needs no shared memory
    if database.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise sqlite3.OperationalError("the disk cannot keep a write-ahead log")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("BEGIN EXCLUSIVE")
    database.execute("COMMIT")


def _begin(database: sqlite3.Connection, identity: str) -> bool:
    """Make the tables of a new journal, and tell if it was one; raise EngineError for one of another run."""
    if _is_empty(database):
        with database:
            database.execute("BEGIN")
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {VERSION}")
            database.execute("CREATE TABLE run (identity TEXT NOT NULL)")
            database.execute("CREATE TABLE studies (key BLOB PRIMARY KEY, vector BLOB, checksum INTEGER NOT NULL)")
            database.execute("INSERT INTO run VALUES (?)", (identity,))
        return True
    if database.execute("SELECT identity FROM run").fetchall() != [(identity,)]:
        raise EngineError(_OTHER_RUN)
    return False


def _is_empty(database: sqlite3.Connection) -> bool:
    """Tell if nothing is in a database yet; raise EngineError if it is neither that nor a journal of this version."""
    (kind,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables == 0 and kind in (0, APPLICATION_ID):
        return True
    if (kind, version) != (APPLICATION_ID, VERSION):
        raise EngineError(_OTHER_RUN)
    return False


def _close(database: sqlite3.Connection, path: Path, *, remove: bool) -> None:
    """Close the journal; one that is to go is removed while it is still held, so that nobody else's is."""
    if remove:
        with suppress(sqlite3.Error):
            database.execute("PRAGMA journal_mode = DELETE")  # takes the log away
            if os.name != "nt":
                _remove(path)
    with suppress(sqlite3.Error):
        database.close()
    if remove and os.name == "nt":  # an open file cannot be removed there
        _remove(path)


def _remove(path: Path) -> None:
    for end in ("-wal", "-shm", ""):  # the file itself last: as long as it is there, nobody begins another
        with suppress(OSError):
            path.with_name(path.name + end).unlink()


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _explain(error: sqlite3.Error) -> EngineError:
    """Say what SQLite's error means for the index; its messages hold no path."""
    code = _code(error)
    if code in _BUSY:
        return EngineError(_HELD)
    if code == sqlite3.SQLITE_NOTADB:
        return EngineError(_OTHER_RUN)
    if code == sqlite3.SQLITE_CORRUPT:
        return EngineError("journal of the index is damaged: remove its .journal file, and embed again")
    return EngineError(f"index cannot be written: {error}; check --out, its folder and the disk")
