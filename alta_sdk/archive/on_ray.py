"""Tasks on Ray: core tasks alone, in a cluster that is there (ray://head:10001) or in one started here ("ray").

Usage statistics are on by default: they are off before Ray is imported, and a cluster that sends them is refused.
"""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import EngineError
from .drive import TaskLost
from .extra import require


class RayRunner:
    """A connection to a cluster; each task takes one processor, and a share of a GPU if that is asked for."""

    def __init__(self, address: str, workers: int, gpus: float, environment: Mapping[str, str]) -> None:
        """address: "ray", or ray://host:port. Raises EngineError if it is not reached, or reports usage."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        self._ray: Any = require("ray", "ray")
        self.in_flight = 2 * workers
        here = {"address": "local", "num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        there = {"address": address}
        try:
            with warnings.catch_warnings():  # Lance's, of forks: what Ray forks becomes another program at once
                warnings.simplefilter("ignore")
                self._ray.init(log_to_driver=False, logging_level="ERROR", **(there if "://" in address else here))
        except Exception as error:  # its own kinds, of gRPC and of the system
            raise EngineError("Ray is not reached: check the address, that it runs, and its token") from error
        self._options = {"num_cpus": 1, "num_gpus": gpus, "max_retries": 0, "runtime_env": {"env_vars": environment}}
        if "://" in address and self._ray.get(self._ray.remote(_reports_usage).options(**HEAD).remote()):
            self.close()
            raise EngineError("Ray's head reports usage statistics: start it with --disable-usage-stats")

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Begin a call."""
        return self._ray.remote(function).options(**self._options).remote(*arguments)

    def wait(self, tickets: Sequence[Any]) -> Any:
        """Return a ticket whose call has ended."""
        return self._ray.wait(list(tickets), num_returns=1)[0][0]

    def take(self, ticket: Any) -> Any:
        """Return its result, or raise what it raised, or TaskLost."""
        try:
            return self._ray.get(ticket)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:  # of a worker or node that died, or was ended for its memory
            raise TaskLost from error

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()


HEAD = {"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}}


def _reports_usage() -> bool:
    return bool(require("ray._private.usage.usage_lib", "ray").usage_stats_enabled())
