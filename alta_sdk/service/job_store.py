"""What arrived, and how far each study is: every change of state is one transaction.

A change says which revision it is of; one that was overtaken by a later arrival changes nothing and says so.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from typing import Any

from .audit import add_event
from .database import Database
from .records import Arrival, DeliveryState, Instance, Result, ResultObject, StudyJob, StudyState

MAX_ATTEMPTS = 3
MAX_CRASHES = 2
POISON = f"ended the service {MAX_CRASHES} times while it was scored: alta service retry tries it again"
RECEIVING, COMPLETE, SCORING, DONE = StudyState.RECEIVING, StudyState.COMPLETE, StudyState.SCORING, StudyState.DONE
_INSTANCE_COLUMNS = ", ".join(field.name for field in fields(Instance))


class JobStore:
    """Instances, studies and results in a Database; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        """Use an open database, and leave it open."""
        self.database = database

    def find_instance(self, sop_uid: str) -> Instance | None:
        """Return an instance that was received, or None."""
        found = self.database.read(f"SELECT {_INSTANCE_COLUMNS} FROM instances WHERE sop_uid = ?", (sop_uid,))
        return Instance(*found[0]) if found else None

    def list_instances(self, key: str) -> list[Instance]:
        """Return a study's instances in the order of their arrival."""
        query = f"SELECT {_INSTANCE_COLUMNS} FROM instances WHERE study_key = ? ORDER BY received_at, sop_uid"
        return [Instance(*row) for row in self.database.read(query, (key,))]

    def add_instance(self, instance: Instance) -> tuple[Arrival, str]:
        """Take an instance in; return what it was, and the spool file that it replaces ("" if none).

        The same bytes under the same UID change nothing, and the caller removes its new file; if they were kept no
        longer, they are again. Other bytes replace it.
        A study whose scoring has begun gets a new revision, and is received anew.
        """
        with self.database.write() as cursor:
            old = cursor.execute(
                "SELECT sha256, file, study_key FROM instances WHERE sop_uid = ?", (instance.sop_uid,)
            ).fetchone()
            if old and old["sha256"] == instance.sha256 and old["study_key"] == instance.study_key:
                cursor.execute(
                    "UPDATE instances SET file = ? WHERE sop_uid = ? AND file = ''", (instance.file, instance.sop_uid)
                )
                return (Arrival.RESTORED if cursor.rowcount else Arrival.SAME), ""
            self._receive(cursor, instance)
            add_event(cursor, instance.sender, "received", instance.study_key)
            marks = ", ".join("?" * len(fields(Instance)))
            cursor.execute(f"REPLACE INTO instances ({_INSTANCE_COLUMNS}) VALUES ({marks})", astuple(instance))
        return (Arrival.REPLACED, old["file"]) if old else (Arrival.NEW, "")

    def _receive(self, cursor: sqlite3.Cursor, instance: Instance) -> None:
        """Make the study of an instance, or bring it back to receiving."""
        cursor.execute(
            "INSERT INTO studies (key, study_uid, state, sender, received_at, changed_at) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET changed_at = excluded.changed_at, sender = excluded.sender, "
            "attempts = 0, crashes = 0, reason = '', explanation = NULL, "
            f"revision = revision + (state NOT IN ('{RECEIVING}', '{COMPLETE}')), state = '{RECEIVING}'",
            (instance.study_key, instance.study_uid, RECEIVING, instance.sender, *[instance.received_at] * 2),
        )

    def get_study(self, key: str) -> StudyJob | None:
        """Return a study, or None."""
        found = self.database.read("SELECT * FROM studies WHERE key = ?", (key,))
        return _make_study(found[0]) if found else None

    def list_studies(
        self, states: Iterable[StudyState] = tuple(StudyState), *, limit: int = 100, offset: int = 0
    ) -> list[StudyJob]:
        """Return studies in these states, the latest change first."""
        wanted = tuple(states)
        query = (
            f"SELECT * FROM studies WHERE state IN ({', '.join('?' * len(wanted))}) "
            "ORDER BY changed_at DESC, key LIMIT ? OFFSET ?"
        )
        return [_make_study(row) for row in self.database.read(query, (*wanted, limit, offset))]

    def count_states(self) -> dict[StudyState, int]:
        """Return how many studies are in each state, all states named."""
        rows = self.database.read("SELECT state, count(*) FROM studies GROUP BY state")
        return dict.fromkeys(StudyState, 0) | {StudyState(state): count for state, count in rows}

    def count_waiting(self) -> int:
        """Return how many studies are not scored yet."""
        states = f"('{RECEIVING}', '{COMPLETE}', '{SCORING}')"
        return int(self.database.read(f"SELECT count(*) FROM studies WHERE state IN {states}")[0][0])

    def list_keys(self, state: StudyState) -> list[str]:
        """Return the keys of the studies in a state, the longest there first."""
        rows = self.database.read("SELECT key FROM studies WHERE state = ? ORDER BY received_at, key", (state,))
        return [row["key"] for row in rows]

    def complete_study(self, key: str) -> bool:
        """Let a study that is being received wait for its scoring."""
        return self._change(key, None, (RECEIVING,), COMPLETE)

    def begin_scoring(self) -> StudyJob | None:
        """Take the study that has waited longest, if one does; it is in scoring from now on.

        One whose scoring has failed comes behind those whose has not.
        """
        if not self.database.read(f"SELECT 1 FROM studies WHERE state = '{COMPLETE}' LIMIT 1"):
            return None  # asked twice a second: no transaction for that
        with self.database.write() as cursor:
            found = cursor.execute(
                f"SELECT * FROM studies WHERE state = '{COMPLETE}' ORDER BY attempts, received_at, key LIMIT 1"
            ).fetchone()
            if found is None:
                return None
            _set_state(cursor, found["key"], SCORING)
            return _make_study({**found, "state": SCORING})

    def finish_scoring(self, result: Result, destinations: Sequence[str]) -> bool:
        """Keep a result and what is to be delivered; False if a later arrival has overtaken it."""
        with self.database.write() as cursor:
            if not _is_at(cursor, result.study_key, result.revision, (SCORING,)):
                return False
            cursor.execute(
                "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?)",
                (
                    result.study_key,
                    result.revision,
                    result.engine,
                    result.engine_hash,
                    json.dumps(result.content),
                    result.scored_at,
                ),
            )
            for one in result.objects:
                cursor.execute(
                    "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?)", (*astuple(one), result.study_key, result.revision)
                )
                for destination in destinations:
                    cursor.execute(
                        "INSERT INTO deliveries (sop_uid, destination, state, changed_at) VALUES (?, ?, ?, ?)",
                        (one.sop_uid, destination, DeliveryState.WAITING, result.scored_at),
                    )
            _set_state(cursor, result.study_key, StudyState.SCORED if destinations else DONE)
            return True

    def refuse_study(self, job: StudyJob, reason: str, explanation: dict[str, Any] | None = None) -> bool:
        """Say why a study in scoring is none that can be scored; False if it was overtaken."""
        return self._change(job.key, job.revision, (SCORING,), StudyState.REFUSED, reason, explanation)

    def fail_scoring(self, job: StudyJob, reason: str) -> bool:
        """Count a scoring that failed: the study waits again, or has failed the last time. False if overtaken."""
        with self.database.write() as cursor:
            if not _is_at(cursor, job.key, job.revision, (SCORING,)):
                return False
            is_last = job.attempts + 1 >= MAX_ATTEMPTS
            _set_state(cursor, job.key, StudyState.FAILED if is_last else COMPLETE, reason)
            cursor.execute("UPDATE studies SET attempts = attempts + 1 WHERE key = ?", (job.key,))
            return True

    def release_scoring(self, job: StudyJob, reason: str) -> bool:
        """Let a study wait again whose scoring failed by no fault of its own. False if it was overtaken."""
        return self._change(job.key, job.revision, (SCORING,), COMPLETE, reason)

    def recover(self) -> int:
        """At start: what was in scoring waits again, or is set aside if it ended the process twice; count those."""
        with self.database.write() as cursor:
            cursor.execute(f"UPDATE studies SET crashes = crashes + 1 WHERE state = '{SCORING}'")
            poison = cursor.execute(
                f"UPDATE studies SET state = ?, reason = ? WHERE state = '{SCORING}' AND crashes >= {MAX_CRASHES}",
                (StudyState.FAILED, POISON),
            ).rowcount
            cursor.execute(f"UPDATE studies SET state = '{COMPLETE}' WHERE state = '{SCORING}'")
            return poison

    def retry_study(self, key: str) -> bool:
        """Let a refused or failed study be scored again, as if for the first time."""
        with self.database.write() as cursor:
            if not _is_at(cursor, key, None, (StudyState.REFUSED, StudyState.FAILED)):
                return False
            _set_state(cursor, key, COMPLETE)
            cursor.execute("UPDATE studies SET attempts = 0, crashes = 0 WHERE key = ?", (key,))
            return True

    def list_results(self, key: str) -> list[Result]:
        """Return a study's results, the latest revision first."""
        objects = self.database.read(
            "SELECT sop_uid, sop_class, kind, file, revision FROM objects WHERE study_key = ? ORDER BY kind, sop_uid",
            (key,),
        )
        rows = self.database.read("SELECT * FROM results WHERE study_key = ? ORDER BY revision DESC", (key,))
        return [
            Result(
                row["study_key"],
                row["revision"],
                row["engine"],
                row["engine_hash"],
                json.loads(row["content"]),
                tuple(ResultObject(*one[:4]) for one in objects if one["revision"] == row["revision"]),
                row["scored_at"],
            )
            for row in rows
        ]

    def list_files(self, key: str | None = None) -> set[str]:
        """Return the spool files that are needed, of a study or of all."""
        where, values = ("WHERE study_key = ?", (key,) * 2) if key else ("", ())
        query = f"SELECT file FROM instances {where} UNION SELECT file FROM objects {where}"
        return {row["file"] for row in self.database.read(query, values)} - {""}

    def list_finished(self, before: float, *, with_images: bool = False) -> list[str]:
        """Return the keys of studies that nothing is to be done for since a time: done, refused or failed.

        with_images: those alone of which images are kept.
        """
        states = f"('{DONE}', '{StudyState.REFUSED}', '{StudyState.FAILED}')"
        kept = "AND key IN (SELECT study_key FROM instances WHERE file != '')" if with_images else ""
        query = f"SELECT key FROM studies WHERE state IN {states} AND changed_at < ? {kept} ORDER BY changed_at"
        return [row["key"] for row in self.database.read(query, (before,))]

    def forget_images(self, key: str) -> set[str]:
        """Say that a study's images are kept no longer; return their spool files, which the caller removes."""
        with self.database.write() as cursor:
            rows = cursor.execute("SELECT file FROM instances WHERE study_key = ? AND file != ''", (key,)).fetchall()
            cursor.execute("UPDATE instances SET file = '' WHERE study_key = ?", (key,))
        return {row["file"] for row in rows}

    def erase_study(self, key: str) -> set[str]:
        """Remove every row of a study but the audit's; return its spool files, which the caller removes.

        A peer's request to be told of one of its objects goes, too: it names them. The log is the caller's to cut.
        """
        with self.database.write() as cursor:
            rows = cursor.execute(
                "SELECT file FROM instances WHERE study_key = ? UNION SELECT file FROM objects WHERE study_key = ?",
                (key, key),
            ).fetchall()
            cursor.execute(
                "DELETE FROM commitments WHERE EXISTS (SELECT 1 FROM json_each(items) AS item JOIN instances "
                "ON sop_uid = json_extract(item.value, '$[1]') WHERE study_key = ?)",
                (key,),
            )
            cursor.execute("DELETE FROM studies WHERE key = ?", (key,))
        return {row["file"] for row in rows} - {""}

    def _change(
        self,
        key: str,
        revision: int | None,
        allowed: Sequence[StudyState],
        state: StudyState,
        reason: str = "",
        explanation: dict[str, Any] | None = None,
    ) -> bool:
        with self.database.write() as cursor:
            if not _is_at(cursor, key, revision, allowed):
                return False
            _set_state(cursor, key, state, reason, explanation)
            return True


def _is_at(cursor: sqlite3.Cursor, key: str, revision: int | None, states: Sequence[StudyState]) -> bool:
    found = cursor.execute("SELECT state, revision FROM studies WHERE key = ?", (key,)).fetchone()
    return found is not None and found["state"] in states and revision in (None, found["revision"])


def _set_state(
    cursor: sqlite3.Cursor, key: str, state: StudyState, reason: str = "", explanation: dict[str, Any] | None = None
) -> None:
    told = None if explanation is None else json.dumps(explanation)
    cursor.execute(
        "UPDATE studies SET state = ?, reason = ?, explanation = ?, changed_at = ? WHERE key = ?",
        (state, reason, told, time.time(), key),
    )


def _make_study(row: Any) -> StudyJob:
    told = row["explanation"]
    return StudyJob(
        row["key"],
        row["study_uid"],
        StudyState(row["state"]),
        row["revision"],
        row["attempts"],
        row["crashes"],
        row["sender"],
        row["reason"],
        None if told is None else json.loads(told),
        row["received_at"],
        row["changed_at"],
    )
