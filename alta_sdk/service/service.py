"""The workstation service put together: what runs, in which order it starts, and how it ends.

Whatever comes in is on the disk before it is acknowledged, so a kill at any moment costs a restart. Starting: the
state is locked, what a kill left is put right, engines are opened, and only then does anybody get in. Stopping: nobody
gets in any more, associations end, the study that is being scored is finished.
"""

import logging
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, Self

from .._version import __version__
from ..errors import ServiceError
from ..study.key import SiteKey, open_site_key
from .actions import Actions
from .audit import Audit, Orders
from .database import Database
from .delivery_store import DeliveryStore
from .engines import Engines
from .extra import require_extra
from .health import Check
from .holding import hold_state, make_state_folder
from .job_store import JobStore
from .loops import Loop, describe_fault
from .paths import SPOOL
from .retention import Retention
from .scoring import Scoring, Writers
from .settings import Settings
from .spool import Spool
from .windows_service import run_under_manager

ORDERS_S = 0.5
_log = logging.getLogger("alta_sdk")


class Service:
    """One service; start it once."""

    def __init__(self, settings: Settings) -> None:
        """Take a configuration; nothing is opened yet."""
        self.settings = settings
        self._parts = ExitStack()
        self._stopping = threading.Event()
        self._is_started = False
        self._watched: dict[str, Any] = {}  # parts with a thread, by what readiness calls them

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Open the state, put right what a kill left, and let objects in. Raises ServiceError, and nothing runs."""
        require_extra()
        try:
            self._open_state()
            self._start_results()
            self._start_arrivals()
            self._start_web()
        except BaseException:
            self._parts.close()
            raise
        self._is_started = True
        self.audit.note("service", "started", detail=f"alta-sdk {__version__}")
        _log.info("service receives as %s on port %d", self.settings.receiving.ae_title, self.receiver.port)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, or until the service manager of Windows says so."""
        if run_under_manager(self.serve, self.ask_to_stop):
            return
        names = ("SIGTERM", "SIGINT", "SIGBREAK")
        wanted = [getattr(signal, name) for name in names if hasattr(signal, name)]
        before = {one: signal.signal(one, lambda *_: self.ask_to_stop()) for one in wanted}
        try:
            self.serve()
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def serve(self, on_start: Callable[[], None] = lambda: None) -> None:
        """Serve until `ask_to_stop` is called. on_start: called once everything runs."""
        with self:
            on_start()
            while not self._stopping.wait(1.0):  # Windows hears signals between waits alone
                pass

    def ask_to_stop(self) -> None:
        """Let `run` end."""
        self._stopping.set()

    def stop(self) -> None:
        """Let nobody in, end what runs, and close the state; twice does nothing."""
        if self._is_started:
            self._is_started = False
            _log.info("service stops")
            self.reception.drain()
            with suppress(sqlite3.Error):  # a full disk keeps nothing from ending
                self.audit.note("service", "stopped")
        self._parts.close()

    def readiness(self) -> list[Check]:
        """Say of each thing that has to work whether it does."""
        refusal = self.reception.find_refusal()
        return [
            Check("receiving", not refusal and self.receiver.is_alive(), refusal),
            Check("engines", bool(self.engines.list_hashes())),
            *(
                Check(name, part.is_alive(), "" if part.is_alive() else "has ended: restart")
                for name, part in self._watched.items()
            ),
            Check("results", not self.scoring.fault, self.scoring.fault),
        ]

    def _open_state(self) -> None:
        """Lock the folder, open queue and spool, and put right what a kill left."""
        state = self.settings.state
        make_state_folder(state)
        self._parts.enter_context(hold_state(state))
        database = self._parts.enter_context(Database(state))
        self.store, self.deliveries = JobStore(database), DeliveryStore(database)
        self.audit, self.orders = Audit(database), Orders(database)
        try:
            self.spool = Spool(state / SPOOL)
            left = self.spool.remove_others(self.store.list_files())
        except OSError as error:
            raise ServiceError(f"spool cannot be used: {describe_fault(error)}; check [service] state") from error
        if poison := self.store.recover():
            _log.error("%d studies are set aside: each ended the service twice while it was scored", poison)
        if left:
            _log.info("%d files that a kill had left were removed", left)
        self._give_up_others()
        self.site_key: SiteKey = open_site_key(self.settings.site_key, state)[0]

    def _give_up_others(self) -> None:
        """Let nothing wait for a destination that the configuration no longer names: its studies were never done."""
        for name, keys in self.deliveries.give_up_others([one.name for one in self.settings.destinations]).items():
            _log.warning("%d results wait no longer for %s, which the configuration does not name", len(keys), name)
            for key in keys:
                self.audit.note("service", "given up", key, name)

    def _start_results(self) -> None:
        """Open the engines, and start what comes after a study is complete."""
        from .commitment import Commitments
        from .delivery import Deliverer
        from .heat_map import write_heat_map
        from .structured_report import write_report
        from .trial import write_trial_report

        settings = self.settings
        self.engines = Engines(settings.engines)
        self._parts.callback(self.engines.close)
        for name, sha256 in self.engines.open_all().items():
            self.audit.note("service", "opened", detail=f"{name} {sha256}")
            _log.info("engine %s is open: %s", name, sha256)
        with self.engines.use(settings.engines[0].name) as engine:
            write_trial_report(engine)
        self.commitments = Commitments(settings, self.store, self.deliveries)
        self.deliverer = Deliverer(settings, self.deliveries, self.spool, self.audit, self.commitments)
        self.commitments.on_report = self.deliverer.wake
        self._begin(self.commitments)
        self._begin(self.deliverer)
        writers = Writers(write_report, write_heat_map)
        self.scoring = Scoring(
            settings, self.store, self.spool, self.site_key, self.audit, writers, self.engines, self._prior_finder()
        )
        self.scoring.on_result = self.deliverer.wake
        self.scoring_loop = self._loop("scoring", self.scoring.step)
        self.actions = Actions(self.store, self.spool, self.audit, self.engines, self.scoring_loop.wake)
        retention = Retention(settings.keeping, self.store, self.spool, self.actions)
        self._loop("retention", retention.step)
        self._loop("orders", self._take_orders)

    def _prior_finder(self) -> Callable[..., Any] | None:
        """Return what asks for earlier studies, if that is wanted."""
        if self.settings.priors is None:
            return None
        from .priors import find_prior

        return partial(find_prior, self.settings.priors, ae_title=self.settings.receiving.ae_title)

    def _start_arrivals(self) -> None:
        """Start what lets objects in."""
        from .completion import Completion
        from .receiver import Receiver
        from .reception import Reception

        self.reception = Reception(self.settings, self.store, self.spool, self.site_key, self.audit)
        self.completion = Completion(self.settings, self.store)
        self.reception.on_arrival = self.completion.touch
        self.completion.on_complete = self.scoring_loop.wake
        self._begin(self.completion)
        self._watched |= {"delivery": self.deliverer, "completion": self.completion, "commitment": self.commitments}
        self.receiver = Receiver(self.settings, self.reception, self.commitments)
        self._begin(self.receiver)

    def _start_web(self) -> None:
        """Start page and REST, if they are wanted."""
        if self.settings.web is None:
            return
        from .web.server import WebServer
        from .web.view import ServiceView

        view = ServiceView(
            self.store,
            self.deliveries,
            self.audit,
            self.spool,
            self.reception,
            self.actions.retry,
            self.actions.erase,
            self.readiness,
        )
        self.web = WebServer(view, self.settings)
        self._begin(self.web)
        self._watched["page"] = self.web
        _log.info("page and REST are on port %d", self.web.port)

    def _begin(self, part: Any) -> None:
        """Start a part, and see that it is stopped."""
        self._parts.callback(part.stop)
        part.start()

    def _loop(self, name: str, step: Callable[[], float]) -> Loop:
        loop = Loop(name, step)
        self._watched[name] = loop
        self._begin(loop)
        return loop

    def _take_orders(self) -> float:
        """Carry out what `alta service` has asked for."""
        for number, verb, argument, actor in self.orders.list_open():
            try:
                answer = f"done: {self.actions.perform(verb, argument, actor)}"
            except Exception as error:
                answer = f"refused: {describe_fault(error)}"
            self.orders.answer(number, answer)
        return ORDERS_S
