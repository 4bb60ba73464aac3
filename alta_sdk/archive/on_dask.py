"""Tasks on Dask: in a cluster that is there (dask://host:8786) or in one started here ("dask")."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .clusters import join_dask
from .drive import TaskLost
from .extra import require


class DaskRunner:
    """A client of a scheduler."""

    def __init__(self, address: str, workers: int, environment: Mapping[str, str]) -> None:
        """address: "dask", or dask://host:port. Raises EngineError if it is not reached, or open to others."""
        self._client, self._cluster = join_dask(address, workers)
        self._dask = require("distributed", "dask")
        self.in_flight, self._environment = 2 * workers, dict(environment)

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


def _call(environment: Mapping[str, str], function: Callable[..., Any], *arguments: Any) -> Any:
    os.environ.update(environment)
    return function(*arguments)
