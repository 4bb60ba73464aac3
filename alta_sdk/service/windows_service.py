"""The service as the service manager of Windows runs it: it must be told that the service runs, and tells it to stop.

A program that says nothing is ended after 30 seconds. `alta serve` asks the manager first; whom it did not start
runs as on a console. Source: Microsoft, "Service Programs" (StartServiceCtrlDispatcher, HandlerEx).
"""

import ctypes
import os
from collections.abc import Callable
from typing import Any

NAME = "alta"
OWN_PROCESS = 0x10
START_PENDING, STOP_PENDING, RUNNING, STOPPED = 2, 3, 4, 1
ACCEPTS_STOP = 0x1 | 0x4  # and the shutdown of the machine
STOP, SHUTDOWN, INTERROGATE = 1, 5, 4
NOT_IMPLEMENTED = 120
SERVICE_SPECIFIC = 1066
WAIT_MS = 120_000

_CALL = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)
_MAIN = _CALL(None, ctypes.c_uint32, ctypes.c_void_p)
_HANDLER = _CALL(ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p)


class Status(ctypes.Structure):
    """SERVICE_STATUS."""

    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("type", "state", "accepted", "exit_code", "own_exit_code", "check_point", "wait_hint")
    ]


class Entry(ctypes.Structure):
    """SERVICE_TABLE_ENTRYW."""

    _fields_ = [("name", ctypes.c_wchar_p), ("main", ctypes.c_void_p)]


class ManagedRun:
    """One run under the manager."""

    def __init__(self, serve: Callable[[Callable[[], None]], None], stop: Callable[[], None], library: Any) -> None:
        """Take what serves until it is stopped, and calls back once it runs; what stops it; the system's library."""
        self._serve, self._stop, self._library = serve, stop, library
        self._handle: Any = None
        self.error: BaseException | None = None
        # Held as long as the manager may call them.
        self._callbacks = _MAIN(self._main), _HANDLER(self._hear)

    def start(self) -> bool:
        """Run until it is stopped; False at once if it was not the manager that started this process."""
        main = ctypes.cast(self._callbacks[0], ctypes.c_void_p)
        table = (Entry * 2)(Entry(NAME, main), Entry(None, None))
        return bool(self._library.StartServiceCtrlDispatcherW(table))

    def _main(self, _count: int, _arguments: Any) -> None:
        self._handle = self._library.RegisterServiceCtrlHandlerExW(NAME, self._callbacks[1], None)
        self._tell(START_PENDING)
        try:
            self._serve(lambda: self._tell(RUNNING))
        except BaseException as error:
            self.error = error
        self._tell(STOPPED)

    def _hear(self, control: int, _kind: int, _data: Any, _context: Any) -> int:
        if control in (STOP, SHUTDOWN):
            self._tell(STOP_PENDING)
            self._stop()
        return 0 if control in (STOP, SHUTDOWN, INTERROGATE) else NOT_IMPLEMENTED

    def _tell(self, state: int) -> None:
        failed = state == STOPPED and self.error is not None
        status = Status(
            OWN_PROCESS,
            state,
            ACCEPTS_STOP if state == RUNNING else 0,
            SERVICE_SPECIFIC if failed else 0,
            int(failed),
            0,
            WAIT_MS if state in (START_PENDING, STOP_PENDING) else 0,
        )
        self._library.SetServiceStatus(self._handle, ctypes.byref(status))


def run_under_manager(serve: Callable[[Callable[[], None]], None], stop: Callable[[], None]) -> bool:
    """Serve under the service manager of Windows; False if there is none, or it has not started this process.

    Raises what `serve` raised.
    """
    if os.name != "nt":
        return False
    library = ctypes.WinDLL("advapi32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    library.RegisterServiceCtrlHandlerExW.restype = ctypes.c_void_p
    library.SetServiceStatus.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    run = ManagedRun(serve, stop, library)
    was_run = run.start()
    if run.error is not None:
        raise run.error
    return was_run
