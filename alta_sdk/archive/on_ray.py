"""Tasks on Ray: core tasks alone, in a cluster that is there (ray://head:10001) or in one started here ("ray")."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .clusters import join_ray
from .drive import TaskLost


class RayRunner:
    """A connection to a cluster; each task takes one processor, and a share of a GPU if that is asked for."""

    def __init__(self, address: str, workers: int, gpus: float, environment: Mapping[str, str]) -> None:
        """address: "ray", or ray://host:port. Raises EngineError if it is not reached, or reports usage."""
        self._ray = join_ray(address, workers)
        self.in_flight = 2 * workers
        self._options = {"num_cpus": 1, "num_gpus": gpus, "max_retries": 0, "runtime_env": {"env_vars": environment}}

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
