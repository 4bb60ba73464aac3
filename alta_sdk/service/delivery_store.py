"""What is on its way: results to destinations, and answers to peers that asked for storage commitment."""

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from .database import Database
from .records import CommitmentRequest, Delivery, DeliveryState, StudyState

_COLUMNS = (
    "d.sop_uid, o.sop_class, o.file, o.study_key, o.revision, d.destination, d.state, d.attempts, d.reason, "
    "d.transaction_uid, d.changed_at"
)
_JOIN = "deliveries d JOIN objects o ON o.sop_uid = d.sop_uid"


class DeliveryStore:
    """Deliveries and commitment requests in a Database; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        """Use an open database, and leave it open."""
        self.database = database

    def list_deliveries(
        self, *, destination: str | None = None, state: DeliveryState | None = None, key: str | None = None
    ) -> list[Delivery]:
        """Return deliveries, the oldest result first: of a destination, a state, a study, or all."""
        wanted = {"d.destination": destination, "d.state": state, "o.study_key": key}
        given = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(f"{column} = ?" for column in given) or "1"
        query = (
            f"SELECT {_COLUMNS} FROM {_JOIN} JOIN results r USING (study_key, revision) WHERE {where} "
            "ORDER BY r.scored_at, d.sop_uid, d.destination"
        )
        return [_make_delivery(row) for row in self.database.read(query, tuple(given.values()))]

    def count_states(self) -> dict[tuple[str, DeliveryState], int]:
        """Return how many deliveries are in each state, by destination."""
        query = "SELECT destination, state, count(*) FROM deliveries GROUP BY destination, state"
        return {(name, DeliveryState(state)): count for name, state, count in self.database.read(query)}

    def give_up_others(self, destinations: Sequence[str]) -> dict[str, list[str]]:
        """Forget what waits for other destinations than these; return the keys of the studies by destination."""
        given_up: dict[str, list[str]] = {}
        with self.database.write() as cursor:
            query = f"SELECT {_COLUMNS} FROM {_JOIN} WHERE d.state != ?"
            waiting = [_make_delivery(row) for row in cursor.execute(query, (DeliveryState.DONE,)).fetchall()]
            for delivery in waiting:
                if delivery.destination not in destinations:
                    cursor.execute(
                        "DELETE FROM deliveries WHERE sop_uid = ? AND destination = ?",
                        (delivery.sop_uid, delivery.destination),
                    )
                    _settle(cursor, delivery.study_key)
                    given_up.setdefault(delivery.destination, []).append(delivery.study_key)
        return given_up

    def mark_sent(self, delivery: Delivery, transaction_uid: str = "") -> None:
        """Note that a destination has taken an object; with a transaction, that its commitment is waited for."""
        state = DeliveryState.SENT if transaction_uid else DeliveryState.DONE
        with self.database.write() as cursor:
            _set(cursor, delivery, state, transaction_uid=transaction_uid)
            _settle(cursor, delivery.study_key)

    def mark_failed(self, delivery: Delivery, reason: str) -> None:
        """Count an attempt that failed; the object waits again."""
        with self.database.write() as cursor:
            _set(cursor, delivery, DeliveryState.WAITING, reason=reason, failed=1)
            _settle(cursor, delivery.study_key)

    def commit(self, transaction_uid: str, kept: Sequence[str], lost: Sequence[str] = ()) -> int:
        """Take a peer's answer: SOP instances that it keeps are done, others wait again. Return how many it was of."""
        with self.database.write() as cursor:
            query = f"SELECT {_COLUMNS} FROM {_JOIN} WHERE d.transaction_uid = ? AND d.state = ?"
            rows = cursor.execute(query, (transaction_uid, DeliveryState.SENT)).fetchall()
            waiting = [_make_delivery(row) for row in rows]
            for delivery in waiting:
                if delivery.sop_uid in kept:
                    _set(cursor, delivery, DeliveryState.DONE)
                elif delivery.sop_uid in lost:
                    _set(cursor, delivery, DeliveryState.WAITING, reason="destination does not keep it", failed=1)
                _settle(cursor, delivery.study_key)
            return len(waiting)

    def add_commitment(self, request: CommitmentRequest) -> None:
        """Keep a peer's request until it is answered."""
        with self.database.write() as cursor:
            cursor.execute(
                "REPLACE INTO commitments VALUES (?, ?, ?, ?)",
                (request.transaction_uid, request.requester, json.dumps(request.items), request.attempts),
            )

    def list_commitments(self) -> list[CommitmentRequest]:
        """Return the requests that are not answered yet."""
        rows = self.database.read("SELECT transaction_uid, requester, items, attempts FROM commitments")
        return [
            CommitmentRequest(uid, requester, tuple((one, other) for one, other in json.loads(items)), attempts)
            for uid, requester, items, attempts in rows
        ]

    def remove_commitment(self, transaction_uid: str) -> None:
        """Forget a request that was answered."""
        with self.database.write() as cursor:
            cursor.execute("DELETE FROM commitments WHERE transaction_uid = ?", (transaction_uid,))

    def count_commitment_failure(self, transaction_uid: str) -> None:
        """Note that an answer could not be given."""
        with self.database.write() as cursor:
            cursor.execute(
                "UPDATE commitments SET attempts = attempts + 1 WHERE transaction_uid = ?", (transaction_uid,)
            )


def _set(
    cursor: sqlite3.Cursor,
    delivery: Delivery,
    state: DeliveryState,
    *,
    reason: str = "",
    transaction_uid: str = "",
    failed: int = 0,
) -> None:
    cursor.execute(
        "UPDATE deliveries SET state = ?, reason = ?, transaction_uid = ?, attempts = attempts + ?, changed_at = ? "
        "WHERE sop_uid = ? AND destination = ? AND (? = 0 OR state != ?)",
        (
            *(state, reason, transaction_uid, failed, time.time()),
            *(delivery.sop_uid, delivery.destination),
            *(failed, DeliveryState.DONE),  # the answer was faster than who gave it up
        ),
    )


def _settle(cursor: sqlite3.Cursor, key: str) -> None:
    """Bring a scored study to delivering, or to done when every delivery of every revision is."""
    open_ones = cursor.execute(
        f"SELECT count(*) FROM {_JOIN} WHERE o.study_key = ? AND d.state != ?", (key, DeliveryState.DONE)
    ).fetchone()[0]
    state = StudyState.DELIVERING if open_ones else StudyState.DONE
    cursor.execute(
        "UPDATE studies SET state = ?, changed_at = ? WHERE key = ? AND state IN (?, ?) AND state != ?",
        (state, time.time(), key, StudyState.SCORED, StudyState.DELIVERING, state),
    )


def _make_delivery(row: sqlite3.Row) -> Delivery:
    values: list[Any] = list(row)
    values[6] = DeliveryState(values[6])
    return Delivery(*values)
