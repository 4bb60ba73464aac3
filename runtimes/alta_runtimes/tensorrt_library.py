"""TensorRT's Python packages: which one is here, its version, and its log, which is kept off the terminal."""

import logging
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

MAJOR = 11  # strongly typed networks only: the precision stands in the graph
FULL, LEAN = "tensorrt", "tensorrt_lean"
DISTRIBUTIONS = {
    LEAN: ("tensorrt-lean-cu13", "tensorrt-lean-cu12", "tensorrt-lean"),
    FULL: ("tensorrt-cu13", "tensorrt-cu12", "tensorrt"),
}
LOG = logging.getLogger("alta_sdk.tensorrt")


def find_version(name: str) -> str | None:
    """Return the version of the lean or the full package, without importing it; None if it is not here."""
    try:
        if find_spec(name) is None:
            return None
    except ValueError:  # a module that was made by hand has no specification
        return None
    for distribution in DISTRIBUTIONS[name]:
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None


def open_library(name: str) -> Any:
    """Import the lean or the full package; only after a driver was found."""
    return import_module(name)


def make_logger(library: Any) -> Any:
    """Return a logger for TensorRT that keeps its errors in `errors` and writes the rest to our debug log."""

    class Logger(library.ILogger):  # type: ignore[misc]  # the base comes with the library
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (library.ILogger.Severity.ERROR, library.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(msg.splitlines()[0] if msg else "")
            LOG.debug("%s", msg)

    return Logger()


def last_error(logger: Any) -> str:
    """Return TensorRT's last word, for the end of a message of ours."""
    return f": {logger.errors[-1]}" if logger.errors else ""
