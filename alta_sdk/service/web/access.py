"""Who may ask what: every answer's headers, and the checks before any route.

The threats: another site in the same browser that posts to this one, a name of another site that is made to mean this
machine (so, where nobody logs in, only names of the machine itself are answered), guessed passwords, and pages that
stay in caches.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..settings import Web
from .login import Login
from .sessions import COOKIE, Session, Sessions

ANYBODY = "anybody"  # who acts where nobody logs in
PROGRAM = "REST"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Access:
    """Users and sessions of one server."""

    web: Web
    login: Login
    sessions: Sessions = field(default_factory=Sessions)

    @property
    def has_tls(self) -> bool:
        """Whether cookies may be kept to TLS."""
        return self.web.certificate is not None

    def find_session(self, request: Request) -> Session | None:
        """Return the session of a browser; of nobody in particular, if no login is asked for and there is none yet."""
        found = self.sessions.find(request.cookies.get(COOKIE, ""))
        if found is None and not self.login.has_users:
            return self.sessions.begin(ANYBODY)
        return found

    def keep_session(self, response: Response, session: Session) -> Response:
        """Give a browser its cookie."""
        response.set_cookie(COOKIE, session.token, path="/", httponly=True, samesite="strict", secure=self.has_tls)
        return response

    def find_program(self, request: Request) -> str:
        """Return who asks by REST; raise HTTPException (401, 429) without a right password, where one is needed."""
        if not self.login.has_users:
            return PROGRAM
        name, password = _read_basic(request.headers.get("authorization", ""))
        address = address_of(request)
        wait = self.login.wait_left(name, address)
        if wait:
            raise HTTPException(429, "too many wrong passwords: wait", {"Retry-After": str(int(wait) + 1)})
        if not name or not self.login.check_again(name, password, address):
            raise HTTPException(401, "user and password are needed", {"WWW-Authenticate": 'Basic realm="alta"'})
        return name

    def knows(self, request: Request) -> bool:
        """Return whether whoever asks may see more than yes or no: nobody has to log in, or a session is open."""
        return not self.login.has_users or self.sessions.find(request.cookies.get(COOKIE, "")) is not None


def address_of(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else ""


def _read_basic(header: str) -> tuple[str, str]:
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic" or len(header) > 4096:
        return "", ""
    try:
        name, _, password = base64.b64decode(text.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return name, password


class Guard:
    """Middleware: refuse what other sites make a browser send, and give every answer its headers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """Stand before an app."""
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if self.access.has_tls:
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        told = self._refuse(scope)
        app: Any = PlainTextResponse(told, 403) if told else self.app
        await app(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self.access.login.has_users and _name_of(host) not in _LOCAL_NAMES | {self.access.web.host}:
            return "this address is answered under the machine's own name alone: open http://127.0.0.1"
        if scope["method"] in _SAFE:
            return ""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site not in (None, "same-origin", "none") or (origin is not None and urlsplit(origin).netloc != host):
            return "another site may ask nothing here"
        return ""


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
