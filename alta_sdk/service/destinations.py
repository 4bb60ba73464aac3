"""One way to send results for each kind of destination: C-STORE on an association, or STOW-RS.

What a destination refuses of one object concerns that object; what it does not answer concerns the destination. The
two are told apart here, since after the first the next object is sent, and after the second it is not.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from pydicom import dcmread
from pynetdicom.association import Association

from ..errors import ServiceError
from .calling import call_peer, hang_up
from .dicomweb import StatusError, WebClient
from .settings import Destination, DicomPeer
from .syntaxes import COMMAND_SYNTAXES

SYNTAXES = (COMMAND_SYNTAXES[1], COMMAND_SYNTAXES[0])  # explicit little endian first, as results are written
WARNINGS = range(0xB000, 0xC000)  # stored, with something changed (PS3.4 table B.2-1)
OF_THE_OBJECT = (400, 406, 409, 413, 415, 422)  # HTTP statuses; others tell of the server, or of its configuration


class Refused(ServiceError):
    """A destination answers, and does not take this object."""


class Unreachable(ServiceError):
    """A destination does not answer, so that nothing can be sent to it now."""


Send = Callable[[str, bytes], None]  # SOP class and file; raises Refused or Unreachable


class Way(Protocol):
    """How a destination is reached."""

    def open(self, sop_classes: Sequence[str]) -> Any:
        """Hold a connection for objects of these classes: a context manager that gives a `Send`."""

    def end(self) -> None:
        """End what is being sent, from another thread."""


def make_way(destination: Destination, ae_title: str) -> Way:
    """Return how a destination is reached, called by AE title ae_title; raise ServiceError if that cannot be."""
    if isinstance(destination.peer, DicomPeer):
        return DicomWay(destination.peer, ae_title)
    return WebWay(WebClient(destination.peer))


class DicomWay:
    """C-STORE: one association for a batch."""

    def __init__(self, peer: DicomPeer, ae_title: str) -> None:
        """Call a peer as AE title ae_title."""
        self._peer, self._ae_title = peer, ae_title
        self._open: Association | None = None

    @contextmanager
    def open(self, sop_classes: Sequence[str]) -> Iterator[Send]:
        """Hold an association; raise Unreachable if there is none."""
        contexts = [(uid, SYNTAXES) for uid in sorted(set(sop_classes))]
        try:
            with call_peer(self._ae_title, self._peer, contexts) as association:
                self._open = association
                yield lambda sop_class, data: _store(association, sop_class, data)
        except Refused:
            raise
        except ServiceError as error:
            raise Unreachable(str(error)) from error
        finally:
            self._open = None

    def end(self) -> None:
        """End the association, if there is one."""
        association = self._open
        if association is not None:
            hang_up(association)


@dataclass(frozen=True)
class WebWay:
    """STOW-RS: one request an object."""

    client: WebClient

    @contextmanager
    def open(self, sop_classes: Sequence[str]) -> Iterator[Send]:
        """Give what sends: there is nothing to hold."""
        yield self._send

    def end(self) -> None:
        """Do nothing: a request ends at its time."""

    def _send(self, sop_class: str, data: bytes) -> None:
        try:
            self.client.store(data)
        except StatusError as error:
            if error.status in OF_THE_OBJECT:
                raise Refused(str(error)) from error
            raise Unreachable(str(error)) from error
        except ServiceError as error:
            raise Unreachable(str(error)) from error


def _store(association: Association, sop_class: str, data: bytes) -> None:
    """Send one object by C-STORE; raise Refused or Unreachable unless the peer has taken it."""
    if not association.is_established:
        raise Unreachable("peer has ended the association")
    if sop_class not in {str(one.abstract_syntax) for one in association.accepted_contexts}:
        raise Refused("peer accepts no presentation context for the object's SOP class")
    try:
        status = association.send_c_store(dcmread(io.BytesIO(data)))
    except (ValueError, AttributeError, RuntimeError) as error:  # they quote values
        raise Refused("object cannot be sent: peer accepts no syntax for it, or it is damaged") from error
    number: Any = status.get("Status")
    if number is None:
        raise Unreachable("peer does not answer to a C-STORE in time, or ends the association")
    if number and number not in WARNINGS:
        raise Refused(f"peer refuses the object with status 0x{number:04X}")
