"""Routes for those who watch over the service: does it live, may it be given work, and its counts."""

import time
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..._version import __version__
from ..health import METRICS_TYPE, Metric, describe_readiness, render_metrics
from ..records import StudyState
from .access import Access
from .view import ServiceView


@dataclass(frozen=True)
class Operations:
    """The routes of one server."""

    view: ServiceView
    access: Access

    def list_routes(self) -> list[Route]:
        """Return every route."""
        return [
            Route("/healthz", self.tell_health),
            Route("/readyz", self.tell_readiness),
            Route("/metrics", self.tell_metrics),
        ]

    async def tell_health(self, request: Request) -> Response:
        """Say that the process answers, and that its queue can be read."""
        await run_in_threadpool(self.view.store.count_states)
        return PlainTextResponse("ok\n")

    async def tell_readiness(self, request: Request) -> Response:
        """Say which checks hold; why others do not, to those who may look at the service."""
        checks = await run_in_threadpool(self.view.readiness)
        content = describe_readiness(checks, with_reasons=self.access.knows(request))
        return JSONResponse(content, 200 if content["ready"] else 503)

    async def tell_metrics(self, request: Request) -> Response:
        """Send the counts; where users are, one of them asks."""
        await run_in_threadpool(self.access.find_program, request)
        metrics = await run_in_threadpool(collect_metrics, self.view)
        return Response(render_metrics(metrics), media_type=METRICS_TYPE)


def collect_metrics(view: ServiceView) -> list[Metric]:
    """Return what the service counts; labels are states, destinations and checks, never a study."""
    checks = view.readiness()
    states = view.store.count_states()
    deliveries = view.deliveries.count_states()
    waiting = "SELECT min(received_at) FROM studies WHERE state IN (?, ?)"
    oldest = view.store.database.read(waiting, (StudyState.COMPLETE, StudyState.SCORING))[0][0]
    age = 0.0 if oldest is None else max(0.0, time.time() - oldest)
    return [
        Metric("info", "gauge", "The version that serves.", (({"version": __version__}, 1),)),
        Metric("uptime_seconds", "gauge", "Since the service started.", (({}, time.monotonic() - view.started),)),
        Metric("ready", "gauge", "1 if every check holds.", (({}, float(all(one.is_ok for one in checks))),)),
        Metric(
            "check", "gauge", "1 if a check holds.", tuple(({"check": one.name}, float(one.is_ok)) for one in checks)
        ),
        Metric("studies", "gauge", "Studies kept, by state.", tuple(({"state": s}, n) for s, n in states.items())),
        Metric(
            "deliveries",
            "gauge",
            "Objects for destinations, by state.",
            tuple(({"destination": name, "state": state}, n) for (name, state), n in sorted(deliveries.items())),
        ),
        Metric(
            "objects_total",
            "counter",
            "Objects offered since the start, by the status told.",
            tuple(({"status": f"{status:04X}"}, count) for status, count in view.reception.count_outcomes().items()),
        ),
        Metric("oldest_waiting_seconds", "gauge", "Age of the study that waits longest for its scores.", (({}, age),)),
        Metric("free_bytes", "gauge", "Free space of the spool's disk.", (({}, view.spool.measure_free_mib() << 20),)),
    ]
