"""A loaded graph that can be closed while others hold it: an engine's encoders share one."""

from collections.abc import Mapping
from typing import Any, NoReturn

from alta_runtimes import Session, SessionInfo

from ..errors import EngineError


class ClosableSession:
    """A loaded graph that can be let go of while its encoders still hold this; runs that have begun end as usual."""

    def __init__(self, session: Session) -> None:
        """Pass everything on to a loaded graph."""
        self._session: Session | None = session
        self.info: SessionInfo = session.info

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the graph once; raise EngineError if it was closed."""
        session = self._session
        if session is None:
            raise EngineError("engine is closed: open it again")
        return session.run(inputs)

    def close(self) -> None:
        """Let go of the graph, and of its memory when no run uses it any more."""
        self._session = None


def refuse_copy(owner: object) -> NoReturn:
    """Refuse to pickle or copy what holds loaded graphs (as its `__reduce__`): they belong to their process."""
    name = f"{type(owner).__name__}".lower()
    article = "an" if name[:1] in "aeiou" else "a"
    raise EngineError(
        f"{article} {name} cannot be pickled or copied: open it in each process, share it between threads"
    )
