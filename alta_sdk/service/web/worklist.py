"""Which studies the worklist shows: by state, sender and the beginning of the key, a page at a time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from ..job_store import JobStore
from ..records import Result, StudyJob, StudyState

PAGE_ROWS = 50
_MAX_PAGE = 100_000
_KEY_START = re.compile(r"[0-9a-f]{1,32}")
_LONGEST_REFRESH_S = 3600
_OPEN = (StudyState.RECEIVING, StudyState.COMPLETE, StudyState.SCORING, StudyState.SCORED, StudyState.DELIVERING)
GROUPS: Mapping[str, tuple[StudyState, ...]] = {
    "": tuple(StudyState),
    "open": _OPEN,
    "done": (StudyState.DONE,),
    "refused": (StudyState.REFUSED,),
    "failed": (StudyState.FAILED,),
    **{str(state): (state,) for state in _OPEN},
}


@dataclass(frozen=True)
class Filter:
    """What is asked for. state: a state, "open" or "" for all. page: from 1. refresh: seconds, 0 for never."""

    state: str = ""
    sender: str = ""
    key: str = ""
    page: int = 1
    refresh: int = 0

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Filter":
        """Read a query; what makes no sense is left out."""
        state, key = query.get("state", ""), query.get("key", "").strip().lower()
        return cls(
            state if state in GROUPS else "",
            query.get("sender", "").strip()[:64],
            key if _KEY_START.fullmatch(key) else "",
            _read_number(query.get("page", ""), 1, _MAX_PAGE),
            _read_number(query.get("refresh", ""), 0, _LONGEST_REFRESH_S),
        )

    def link(self, **changes: object) -> str:
        """Return the query of this filter with changes, without what says nothing."""
        values = {**vars(self), **changes}
        nothing = vars(Filter())
        return "?" + urlencode({name: value for name, value in values.items() if value != nothing[name]})


@dataclass(frozen=True)
class WorklistPage:
    """The studies of one page, each with its latest result; all: how many there are on all pages."""

    rows: tuple[tuple[StudyJob, Result | None], ...]
    all: int

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return max(1, -(-self.all // PAGE_ROWS))


def find_studies(store: JobStore, wanted: Filter) -> WorklistPage:
    """Return a page of the worklist, the latest change first."""
    states = GROUPS[wanted.state]
    where, values = [f"state IN ({', '.join('?' * len(states))})"], [str(state) for state in states]
    if wanted.sender:
        where.append("sender = ?")
        values.append(wanted.sender)
    if wanted.key:
        where.append("substr(key, 1, ?) = ?")
        values += [str(len(wanted.key)), wanted.key]
    condition = " AND ".join(where)
    count = store.database.read(f"SELECT count(*) FROM studies WHERE {condition}", values)[0][0]
    query = f"SELECT key FROM studies WHERE {condition} ORDER BY changed_at DESC, key LIMIT ? OFFSET ?"
    found = store.database.read(query, (*values, PAGE_ROWS, (wanted.page - 1) * PAGE_ROWS))
    studies = (store.get_study(row["key"]) for row in found)  # None: erased meanwhile
    rows = tuple((study, next(iter(store.list_results(study.key)), None)) for study in studies if study)
    return WorklistPage(rows, count)


def list_senders(store: JobStore) -> list[str]:
    """Return who has sent studies, for the filter."""
    return [row[0] for row in store.database.read("SELECT DISTINCT sender FROM studies ORDER BY sender LIMIT 100")]


def _read_number(text: str, low: int, high: int) -> int:
    return min(max(int(text), low), high) if text.isascii() and text.isdigit() and len(text) < 10 else low
