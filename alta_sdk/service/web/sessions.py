"""Who is logged in at the page: random tokens in the process's memory, so that a restart ends every session.

Each has a second token that forms carry: another site can make a browser send the cookie, not that token.
"""

import hmac
import secrets
import threading
import time
from dataclasses import dataclass, field

COOKIE = "alta_session"
TOKEN_BYTES = 32
_IDLE_S = 1800.0
_LONGEST_S = 12 * 3600.0
_MAX_SESSIONS = 1000


@dataclass
class Session:
    """One browser. user: "" of nobody in particular, where no login is asked for."""

    token: str = field(repr=False)
    form_token: str = field(repr=False)
    user: str
    began: float
    used: float

    def allows_form(self, given: str) -> bool:
        """Return whether a form came from a page of this session."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.form_token.encode("ascii"))


class Sessions:
    """All sessions; safe to share between threads."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def begin(self, user: str) -> Session:
        """Make a session; of too many, the one that was used longest ago ends."""
        now = time.monotonic()
        session = Session(secrets.token_urlsafe(TOKEN_BYTES), secrets.token_urlsafe(TOKEN_BYTES), user, now, now)
        with self._lock:
            self._sessions = {token: one for token, one in self._sessions.items() if _is_open(one, now)}
            if len(self._sessions) >= _MAX_SESSIONS:
                del self._sessions[min(self._sessions, key=lambda token: self._sessions[token].used)]
            self._sessions[session.token] = session
        return session

    def find(self, token: str) -> Session | None:
        """Return a session that is open, and note that it was used."""
        now = time.monotonic()
        with self._lock:
            found = self._sessions.get(token)
            if found is None or not _is_open(found, now):
                self._sessions.pop(token, None)
                return None
            found.used = now
            return found

    def end(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(token, None)


def _is_open(session: Session, now: float) -> bool:
    return now - session.used < _IDLE_S and now - session.began < _LONGEST_S
