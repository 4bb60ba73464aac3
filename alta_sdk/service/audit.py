"""Who did what, and what the running service is asked to do: by study keys alone, never by an identifier."""

import sqlite3
import time

from .database import Database
from .records import AuditEvent


class Audit:
    """The audit's rows, which erasing leaves."""

    def __init__(self, database: Database) -> None:
        """Use an open database, and leave it open."""
        self.database = database

    def note(self, actor: str, action: str, study_key: str = "", detail: str = "") -> None:
        """Write one event down. actor: an AE title, a user's name or "service"; action: received, read, sent, …"""
        with self.database.write() as cursor:
            add_event(cursor, actor, action, study_key, detail)

    def list_events(self, key: str | None = None, *, limit: int = 100) -> list[AuditEvent]:
        """Return events, the latest first; of one study, or all."""
        where, values = ("WHERE study_key = ?", (key,)) if key else ("", ())
        query = f"SELECT at, actor, action, study_key, detail FROM audit {where} ORDER BY id DESC LIMIT ?"
        return [AuditEvent(*row) for row in self.database.read(query, (*values, limit))]


def add_event(cursor: sqlite3.Cursor, actor: str, action: str, study_key: str = "", detail: str = "") -> None:
    """Write one event down as a part of another transaction."""
    cursor.execute(
        "INSERT INTO audit (at, actor, action, study_key, detail) VALUES (?, ?, ?, ?, ?)",
        (time.time(), actor, action, study_key, detail),
    )


class Orders:
    """What `alta service` asks of the process that serves: erase, retry, reload."""

    def __init__(self, database: Database) -> None:
        """Use an open database, and leave it open."""
        self.database = database

    def give(self, verb: str, argument: str, actor: str) -> int:
        """Write an order down; return its number."""
        with self.database.write() as cursor:
            cursor.execute("INSERT INTO orders (verb, argument, actor) VALUES (?, ?, ?)", (verb, argument, actor))
            return int(cursor.lastrowid or 0)

    def list_open(self) -> list[tuple[int, str, str, str]]:
        """Return (number, verb, argument, actor) of what is not answered yet, in order."""
        rows = self.database.read("SELECT id, verb, argument, actor FROM orders WHERE answer IS NULL ORDER BY id")
        return [(row["id"], row["verb"], row["argument"], row["actor"]) for row in rows]

    def answer(self, number: int, text: str) -> None:
        """Answer an order in one line."""
        with self.database.write() as cursor:
            cursor.execute("UPDATE orders SET answer = ? WHERE id = ?", (text, number))

    def take_answer(self, number: int) -> str | None:
        """Return an order's answer and forget the order, or None as long as there is none."""
        found = self.database.read("SELECT answer FROM orders WHERE id = ? AND answer IS NOT NULL", (number,))
        if found:
            with self.database.write() as cursor:
                cursor.execute("DELETE FROM orders WHERE id = ?", (number,))
        return found[0]["answer"] if found else None
