"""Back ends that run exported graphs: `load(path) -> Session`, `available() -> [RuntimeInfo]`."""

from . import privacy

privacy.disable_telemetry()  # before any back end can be imported

from .choose import available, choose_runtime, load  # noqa: E402
from .errors import AltaError, EngineError, IntegrityError, RuntimeUnavailable  # noqa: E402
from .session import RuntimeInfo, Session, SessionInfo  # noqa: E402

__all__ = [
    "AltaError",
    "EngineError",
    "IntegrityError",
    "RuntimeInfo",
    "RuntimeUnavailable",
    "Session",
    "SessionInfo",
    "available",
    "choose_runtime",
    "load",
]
