"""The one file of state: SQLite with a write-ahead log, flushed at every commit, so that a power cut loses nothing.

Deleted bytes are overwritten (`secure_delete`), and the log is cut to nothing after each purge. One connection, used
by one thread at a time.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from ..errors import ServiceError

APPLICATION_ID = 0x414C5453  # "ALTS"
VERSION = 1
FILE_NAME = "queue.sqlite"
_BUSY_S = 30.0


class Database:
    """The queue's file; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        """Open or make `queue.sqlite` in a folder; raise ServiceError if it cannot be, or is no queue of this version.

        Another process may have it open, too: `alta service` reads what `alta serve` writes.
        """
        self._lock = threading.RLock()
        path = folder / FILE_NAME
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise ServiceError(
                f"queue of the service cannot be opened: {error_text(error)}; check [service] state"
            ) from error
        try:
            self._begin()
        except sqlite3.Error as error:
            self._connection.close()
            raise ServiceError(
                f"queue of the service cannot be read: {error}; it is damaged or none of ours"
            ) from error
        except ServiceError:
            self._connection.close()
            raise

    def _begin(self) -> None:
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        with self.write() as cursor:  # of two processes at once one makes the tables
            found = [cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
            if found == [0, 0] and not cursor.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in Path(__file__).with_name("schema.sql").read_text(encoding="utf-8").split(";"):
                    cursor.execute(statement)
                cursor.execute(f"PRAGMA application_id={APPLICATION_ID}")
                cursor.execute(f"PRAGMA user_version={VERSION}")
            elif found != [APPLICATION_ID, VERSION]:
                raise ServiceError(
                    f"queue of the service is of version {found[1]}, not {VERSION}: use the alta-sdk that made it, or "
                    "an empty [service] state"
                )

    @contextmanager
    def write(self) -> Iterator[sqlite3.Cursor]:
        """One transaction: all of the block, or nothing of it; durable when the block ends."""
        with self._lock:
            cursor = self._connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                self._connection.commit()
            except BaseException:
                self._connection.rollback()
                raise

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return the rows of a SELECT."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def empty_log(self) -> bool:
        """Write the log into the file and cut it, so that what was deleted is in neither.

        False if another process reads just now: what it reads stays in the log until the next time.
        """
        with self._lock:
            is_busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not is_busy

    def close(self) -> None:
        """Close the file; twice does nothing."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


def error_text(error: Exception) -> str:
    """Return an error's reason without a path."""
    return error.strerror or "it cannot be" if isinstance(error, OSError) else str(error)
