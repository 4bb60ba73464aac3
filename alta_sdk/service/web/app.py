"""Put the routes together: page, REST and operations, behind one guard."""

import logging
import traceback
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ...errors import ServiceError
from ..multipart import BodyError
from ..settings import Settings, Web
from .access import Access, Guard
from .login import Login
from .operations import Operations
from .pages import HOME, Pages
from .rendering import render
from .rest import Rest, answer_error, say_error
from .view import ServiceView

logger = logging.getLogger("alta_sdk")


def make_app(view: ServiceView, settings: Settings) -> Starlette:
    """Return the web application of a service; raise ServiceError for a password hash that is none."""
    web = settings.web or Web()
    access = Access(web, Login(web.users))
    routes = [
        *Operations(view, access).list_routes(),
        *Rest(view, access).list_routes(),
        *Pages(view, access).list_routes(),
    ]
    errors = (BodyError, ClientDisconnect, HTTPException, ServiceError, Exception)
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={kind: _answer for kind in errors},
    )
    app.router.redirect_slashes = False  # it would repeat the name that was asked under
    return app


async def _answer(request: Request, error: Exception) -> Response:
    """Answer an error as whoever asks can read it."""
    if not isinstance(error, (BodyError, ClientDisconnect, HTTPException, ServiceError)):
        # Its text may hold anything: where it was raised says enough.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        logger.error("page failed: %s in %s, line %s", type(error).__name__, Path(frame.filename).name, frame.lineno)
    is_person = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/studies")
    if is_person:
        status, told = say_error(error)
        return render("notice.html", status, session=None, has_users=False, home=HOME, told=told)
    return answer_error(error)
