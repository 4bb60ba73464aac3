"""Serve the page from a thread of the service's process, and nothing beside: no log of requests, no signal handlers."""

import logging
import socket
import ssl
import threading
import time

import uvicorn

from ...errors import ServiceError
from ..config_rules import check_web
from ..settings import Settings
from .app import make_app
from .connections import BoundedProtocol
from .view import ServiceView

_STOP_S = 10.0
_START_S = 60.0
_MOST_REQUESTS = 64  # at once


class WebServer:
    """The page, REST and health of one service."""

    def __init__(self, view: ServiceView, settings: Settings) -> None:
        """Take the address; raise ServiceError if it may not be used, is taken, or its certificate cannot be read."""
        if settings.web is None:
            raise ServiceError("page is switched off: give [web]")
        web = settings.web
        for _, fault in check_web(web):  # also of settings that were not read from a file
            raise ServiceError(f"page cannot be served: {fault}")
        for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
            silenced = logging.getLogger(name)  # requests and errors may hold anything
            silenced.handlers[:], silenced.propagate = [logging.NullHandler()], False
        if web.certificate and web.key:
            try:
                ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(web.certificate, web.key, _refuse)
            except (OSError, ssl.SSLError, ValueError) as error:
                raise ServiceError(
                    "page cannot be served: certificate or key cannot be read as PEM, or they do not belong together; "
                    "check [web] certificate and key"
                ) from error
        self._socket = _listen(web.host, web.port)
        config = uvicorn.Config(
            make_app(view, settings),
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_REQUESTS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=5,
            ssl_certfile=web.certificate,
            ssl_keyfile=web.key,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="alta-web", daemon=True)

    @property
    def port(self) -> int:
        """The port, also where the system chose it."""
        return int(self._socket.getsockname()[1])

    def is_alive(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive() and self._server.started

    def start(self) -> None:
        """Begin to answer; raise ServiceError if it cannot."""
        self._thread.start()
        end = time.monotonic() + _START_S
        while not self._server.started and time.monotonic() < end:
            if not self._thread.is_alive():
                raise ServiceError("page cannot be served: its server ended at once")
            time.sleep(0.01)

    def stop(self) -> None:
        """End, and let answers that are on their way end, too; twice does nothing."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # on Windows another program could take the same port
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(128)
    except (OSError, OverflowError) as error:
        opened.close()
        reason = getattr(error, "strerror", None) or "it is no port"
        raise ServiceError(f"page cannot be served on port {port}: {reason}; check [web] host and port") from error
    return opened


def _refuse() -> str:
    """Return no passphrase: a key that needs one cannot be read when the machine starts by itself."""
    return ""
