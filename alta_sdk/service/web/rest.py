"""REST for those without DICOM: send studies (STOW-RS), read, retry and erase one; JSON with a schema version.

Source: PS3.18 section 10.5 (Store Transaction), PS3.4 table CC.2.3-2 (failure reasons).
"""

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...errors import ServiceError
from ..multipart import DICOM_JSON, BodyError, Bounds, read_body
from ..records import StudyJob
from .access import Access
from .stow import StoreReport, Taking
from .study_page import StudyView, read_study
from .view import ServiceView

SCHEMA_VERSION = 1
_AT_ONCE = 2  # bodies in memory
_CHUNK_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Rest:
    """The routes of one server."""

    view: ServiceView
    access: Access
    bounds: Bounds = Bounds()
    room: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_AT_ONCE))

    def list_routes(self) -> list[Route]:
        """Return every route."""
        return [
            Route("/studies", self.store, methods=["POST"]),
            Route("/studies/{key}", self.show, methods=["GET"]),
            Route("/studies/{key}", self.erase, methods=["DELETE"]),
            Route("/studies/{key}/retry", self.retry, methods=["POST"]),
        ]

    async def store(self, request: Request) -> Response:
        """Take a DICOM file, or several in parts; answer as STOW-RS does, or in plain JSON where that is asked for."""
        actor = await self._find_actor(request)
        parts = read_body(_receive(request), request.headers.get("content-type", ""), self.bounds)
        if not self.room.acquire(blocking=False):
            raise HTTPException(503, "other studies are being sent: try again", {"Retry-After": "5"})
        try:
            taking = Taking(self.view, actor)
            async for part in parts:
                await run_in_threadpool(taking.take, part)
        finally:
            self.room.release()
        return _answer_store(taking.report, request)

    async def show(self, request: Request) -> Response:
        """Return a study as JSON, and write down who read it."""
        actor = await self._find_actor(request)
        return await run_in_threadpool(self._show, request.path_params["key"], actor)

    def _show(self, key: str, actor: str) -> Response:
        found = read_study(self.view, key)
        if found is None:
            raise _no_such_study()
        self.view.note_reading(actor, key)
        return _json(describe_study(found))

    async def retry(self, request: Request) -> Response:
        """Let a refused or failed study be scored again."""
        actor, key = await self._find_actor(request), request.path_params["key"]
        study: StudyJob | None = await run_in_threadpool(self.view.store.get_study, key)
        if study is None:
            raise _no_such_study()
        if refusal := await run_in_threadpool(self.view.retry, key, actor):
            raise HTTPException(409, refusal)
        return _json({"key": key, "retried": True}, 202)

    async def erase(self, request: Request) -> Response:
        """Erase a study."""
        actor, key = await self._find_actor(request), request.path_params["key"]
        if not await run_in_threadpool(self.view.erase, key, actor):
            raise _no_such_study()
        return _json({"key": key, "erased": True})

    async def _find_actor(self, request: Request) -> str:
        return await run_in_threadpool(self.access.find_program, request)


def describe_study(found: StudyView) -> dict[str, Any]:
    """Return a study as plain types: no identifier, no UID."""
    study = found.study
    return {
        "key": study.key,
        "state": str(study.state),
        "revision": study.revision,
        "sender": study.sender,
        "reason": study.reason,
        "explanation": study.explanation,
        "received_at": _say_time(study.received_at),
        "changed_at": _say_time(study.changed_at),
        "images": len(found.instances),
        "results": [
            {
                "revision": one.result.revision,
                "engine": one.result.engine,
                "engine_hash": one.result.engine_hash,
                "scored_at": _say_time(one.result.scored_at),
                "content": {name: value for name, value in one.result.content.items() if not name.endswith("_uid")},
            }
            for one in found.results
        ],
        "deliveries": [
            {
                "destination": one.destination,
                "object": found.name_object(one),
                "revision": one.revision,
                "state": str(one.state),
                "failed_attempts": one.attempts,
                "reason": one.reason,
                "changed_at": _say_time(one.changed_at),
            }
            for one in found.deliveries
        ],
    }


def answer_error(error: Exception) -> Response:
    """Answer what a route refuses, in one line."""
    status, told = say_error(error)
    return _json({"error": told}, status, getattr(error, "headers", None))


def say_error(error: Exception) -> tuple[int, str]:
    """Return an error's HTTP status and one line; what went wrong inside is not told."""
    if isinstance(error, BodyError):
        return error.status, str(error)
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    if isinstance(error, ClientDisconnect):
        return 400, "request ended too early"
    if isinstance(error, ServiceError):
        return 500, str(error)
    return 500, "the service failed: see its log"


async def _receive(request: Request) -> AsyncIterator[bytes]:
    """Yield a body's bytes; raise BodyError (408) where the sender stops."""
    chunks = aiter(request.stream())
    while True:
        try:
            with anyio.fail_after(_CHUNK_TIMEOUT_S):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise BodyError(408, "body stopped coming") from None
        yield chunk


def _answer_store(report: StoreReport, request: Request) -> Response:
    if not report.outcomes:
        raise BodyError(400, "body holds no DICOM file")
    headers = {"Retry-After": "30"} if report.status == 503 else None
    wants_plain = request.headers.get("accept", "").partition(";")[0].strip() == "application/json"
    if wants_plain:
        return _json(report.describe(), report.status, headers)
    return Response(report.write_dicom_json(), report.status, headers, media_type=DICOM_JSON)


def _no_such_study() -> HTTPException:
    return HTTPException(404, "no such study: it may have been erased")


def _json(content: dict[str, Any], status: int = 200, headers: Any = None) -> JSONResponse:
    return JSONResponse({"schema_version": SCHEMA_VERSION, **content}, status, headers)


def _say_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
