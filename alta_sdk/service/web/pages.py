"""The page's routes: worklist, one study, login, and what its buttons ask for."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from .access import Access, address_of
from .identifiers import read_identifiers
from .rendering import read_page_file, render
from .sessions import COOKIE, Session
from .study_page import find_top, read_study
from .view import ServiceView
from .worklist import GROUPS, Filter, find_studies, list_senders

HOME = "/worklist"
_MAX_FORM_BYTES, _FORM_S = 16_384, 30.0
Handler = Callable[[Request, Session], Awaitable[Response]]


@dataclass(frozen=True)
class Pages:
    """The routes of one server."""

    view: ServiceView
    access: Access

    def list_routes(self) -> list[Route]:
        """Return every route of the page."""
        return [
            Route("/", self.go_home),
            Route("/style.css", self.send_style),
            Route("/favicon.ico", self.send_nothing),
            Route("/login", self.show_login, methods=["GET"]),
            Route("/login", self.log_in, methods=["POST"]),
            Route("/logout", self._with_form(self.log_out), methods=["POST"]),
            Route(HOME, self._with_session(self.show_worklist)),
            Route(HOME + "/{key}", self._with_session(self.show_study)),
            Route(HOME + "/{key}/retry", self._with_form(self.retry_study), methods=["POST"]),
            Route(HOME + "/{key}/erase", self._with_form(self.erase_study), methods=["POST"]),
        ]

    async def go_home(self, request: Request) -> Response:
        """Send a browser to the worklist."""
        return RedirectResponse(HOME, 303)

    async def send_style(self, request: Request) -> Response:
        """Send the page's style, which the page's policy lets nobody else give."""
        return Response(read_page_file("style.css"), media_type="text/css")

    async def send_nothing(self, request: Request) -> Response:
        """Browsers ask for an icon."""
        return Response(status_code=204)

    async def show_login(self, request: Request) -> Response:
        """Show the form to log in."""
        if self.access.knows(request):
            return RedirectResponse(HOME, 303)
        return self._render("login.html", None, told="", next=_read_next(request.query_params.get("next", "")))

    async def log_in(self, request: Request) -> Response:
        """Check name and password, and begin a session."""
        form = await read_form(request)
        name, password, then = form.get("user", ""), form.get("password", ""), _read_next(form.get("next", ""))
        if not self.access.login.has_users:
            return RedirectResponse(HOME, 303)
        address = address_of(request)
        wait = self.access.login.wait_left(name, address)
        if wait:
            told = f"Too many wrong passwords: wait {int(wait) + 1} seconds."
            response = self._render("login.html", None, 429, told=told, next=then)
            response.headers["Retry-After"] = str(int(wait) + 1)
            return response
        if not await run_in_threadpool(self.access.login.check, name, password, address):
            await run_in_threadpool(self.view.audit.note, f"address {address}", "login refused")
            return self._render("login.html", None, 401, told="User or password is wrong.", next=then)
        self.access.sessions.end(request.cookies.get(COOKIE, ""))
        await run_in_threadpool(self.view.audit.note, name, "login")
        return self.access.keep_session(RedirectResponse(then, 303), self.access.sessions.begin(name))

    async def log_out(self, request: Request, session: Session) -> Response:
        """End a session."""
        self.access.sessions.end(session.token)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE)
        return response

    async def show_worklist(self, request: Request, session: Session) -> Response:
        """Show studies, and whether the service is well."""
        return await run_in_threadpool(self._show_worklist, Filter.read(request.query_params), session)

    def _show_worklist(self, wanted: Filter, session: Session) -> Response:
        found = find_studies(self.view.store, wanted)
        if self._shows_identifiers and found.rows:
            self.view.note_reading(session.user, "", "worklist with identifiers")
        return self._render(
            "worklist.html",
            session,
            wanted=wanted,
            found=found,
            rows=[
                (study, find_top(result) if result else None, self._identify(study.key)) for study, result in found.rows
            ],
            groups=list(GROUPS),
            counts=self.view.store.count_states(),
            senders=list_senders(self.view.store),
            failed=[check for check in self.view.readiness() if not check.is_ok],
            shows_identifiers=self._shows_identifiers,
        )

    async def show_study(self, request: Request, session: Session) -> Response:
        """Show one study, and write down who looked."""
        return await run_in_threadpool(self._show_study, request.path_params["key"], session)

    def _show_study(self, key: str, session: Session, told: str = "", status: int = 200) -> Response:
        found = read_study(self.view, key)
        if found is None:
            return self._render("notice.html", session, 404, told="There is no such study: it may have been erased.")
        self.view.note_reading(session.user, key)
        return self._render("study.html", session, status, page=found, told=told, identifiers=self._identify(key))

    async def retry_study(self, request: Request, session: Session) -> Response:
        """Let a refused or failed study be scored again."""
        key = request.path_params["key"]
        if refusal := await run_in_threadpool(self.view.retry, key, session.user):
            told = f"Nothing was done: {refusal}."
            return await run_in_threadpool(self._show_study, key, session, told, 409)
        return RedirectResponse(f"{HOME}/{quote(key)}", 303)

    async def erase_study(self, request: Request, session: Session) -> Response:
        """Erase a study, if the box is ticked that says so."""
        key = request.path_params["key"]
        if (await read_form(request)).get("sure") != "yes":
            told = "Nothing was erased: tick the box first."
            return await run_in_threadpool(self._show_study, key, session, told, 400)
        is_gone = await run_in_threadpool(self.view.erase, key, session.user)
        told = "The study was erased." if is_gone else "There is no such study: it may have been erased."
        return self._render("notice.html", session, 200 if is_gone else 404, told=told)

    @property
    def _shows_identifiers(self) -> bool:
        return self.access.web.show_identifiers

    def _identify(self, key: str) -> Any:
        return read_identifiers(self.view, key) if self._shows_identifiers else None

    def _render(self, template: str, session: Session | None, status: int = 200, **values: Any) -> Response:
        response = render(template, status, session=session, has_users=self.access.login.has_users, home=HOME, **values)
        return self.access.keep_session(response, session) if session else response

    def _with_session(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Let a route be seen by who is logged in; others are asked to."""

        async def answer(request: Request) -> Response:
            session = self.access.find_session(request)
            if session is None:
                path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return RedirectResponse("/login?next=" + quote(path, safe=""), 303)
            return await handler(request, session)

        return answer

    def _with_form(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Let a button be pressed on a page of the same session alone."""

        async def answer(request: Request) -> Response:
            session = self.access.sessions.find(request.cookies.get(COOKIE, ""))
            if session is None:
                return RedirectResponse("/login" if self.access.login.has_users else HOME, 303)
            if not session.allows_form((await read_form(request)).get("form_token", "")):
                return self._render("notice.html", session, 403, told="This form is of an older page: open it anew.")
            return await handler(request, session)

        return answer


async def read_form(request: Request) -> dict[str, str]:
    """Return a form's fields; of one that is too large, or does not come, none."""
    if not hasattr(request.state, "form"):
        data = b""
        with anyio.move_on_after(_FORM_S) as waiting:
            async for chunk in request.stream():
                data += chunk
                if len(data) > _MAX_FORM_BYTES:
                    break
        if waiting.cancelled_caught or len(data) > _MAX_FORM_BYTES:
            data = b""
        try:
            fields = parse_qs(data.decode("utf-8", "replace"), max_num_fields=20)
        except ValueError:  # too many fields
            fields = {}
        request.state.form = {name: values[0] for name, values in fields.items()}
    found: dict[str, str] = request.state.form
    return found


def _read_next(path: str) -> str:
    """Return where to go after the login: within the worklist, nowhere else."""
    is_ours = path == HOME or path.startswith((HOME + "/", HOME + "?"))
    return path if is_ours and "//" not in path and "\\" not in path and path.isprintable() else HOME
