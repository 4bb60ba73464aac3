"""Tasks in processes of this machine: one pool of one process for each worker, so that a death costs its task alone."""

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import Any

from .drive import TaskLost


class LocalRunner:
    """Processes of this machine, started as they are needed, one task in each."""

    def __init__(self, workers: int, environment: Mapping[str, str]) -> None:
        """environment: what each process has of it beside its parent's."""
        self.in_flight, self._environment = workers, dict(environment)
        self._free, self._pools = list[ProcessPoolExecutor](), dict[Future[Any], ProcessPoolExecutor]()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Begin a call in a process that has nothing to do, or in a new one."""
        context = get_context("spawn")
        pool = self._free.pop() if self._free else ProcessPoolExecutor(1, context, _prepare, (self._environment,))
        try:
            ticket = pool.submit(function, *arguments)
        except BrokenProcessPool:  # it died with nothing to do
            return self.submit(function, *arguments)
        self._pools[ticket] = pool
        return ticket

    def wait(self, tickets: Sequence[Future[Any]]) -> Future[Any]:
        """Return a ticket whose call has ended."""
        return next(iter(wait(tickets, return_when=FIRST_COMPLETED).done))

    def take(self, ticket: Future[Any]) -> Any:
        """Return its result, or raise what it raised, or TaskLost."""
        pool = self._pools.pop(ticket)
        try:
            result = ticket.result()
        except (BrokenProcessPool, MemoryError) as error:
            raise TaskLost from error
        self._free.append(pool)
        return result

    def close(self) -> None:
        """End every process."""
        for pool in (*self._free, *self._pools.values()):
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(cancel_futures=True)


def _prepare(environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    if parent := parent_process():  # a process ends with its parent, however that ends
        threading.Thread(target=lambda: connection.wait([parent.sentinel]) and os._exit(1), daemon=True).start()
