"""Tasks on Dask: in a cluster that is there (dask://host:8786) or in one started here ("dask").

Its messages are pickles, so whoever reaches a port of it runs code: without TLS nothing but loopback is joined.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ..errors import EngineError
from .drive import TaskLost
from .extra import require
from .object_store import LOOPBACK


class DaskRunner:
    """A client of a scheduler."""

    def __init__(self, address: str, workers: int, environment: Mapping[str, str]) -> None:
        """address: "dask", or dask://host:port. Raises EngineError if it is not reached, or open to others."""
        self._dask: Any = require("distributed", "dask")
        self._environment, self.in_flight, self._cluster = dict(environment), 2 * workers, None
        place = _find_scheduler(address) if "://" in address else ""
        if not place:
            quiet = {"dashboard_address": None, "silence_logs": 50, "host": "127.0.0.1", "threads_per_worker": 1}
            self._cluster = self._dask.LocalCluster(n_workers=workers, **quiet)
        try:
            self._client = self._dask.Client(place or self._cluster)
        except (OSError, TimeoutError) as error:
            raise EngineError("Dask is not reached: check the address, and that its scheduler runs") from error

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Begin a call."""
        return self._client.submit(_call, self._environment, function, *arguments, pure=False)

    def wait(self, tickets: Sequence[Any]) -> Any:
        """Return a ticket whose call has ended."""
        return next(iter(self._dask.wait(list(tickets), return_when="FIRST_COMPLETED").done))

    def take(self, ticket: Any) -> Any:
        """Return its result, or raise what it raised, or TaskLost."""
        try:
            return ticket.result()
        except (self._dask.KilledWorker, MemoryError) as error:
            raise TaskLost from error

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _find_scheduler(address: str) -> str:
    place = urlsplit(address)
    has_tls = bool(require("dask.config", "dask").get("distributed.comm.tls.ca-file", None))
    if not has_tls and place.hostname not in LOOPBACK:
        raise EngineError("Dask without TLS lets whoever reaches it run code: set up TLS (distributed.comm.tls)")
    return f"{'tls' if has_tls else 'tcp'}://{place.netloc}"


def _call(environment: Mapping[str, str], function: Callable[..., Any], *arguments: Any) -> Any:
    os.environ.update(environment)
    return function(*arguments)
