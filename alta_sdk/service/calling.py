"""Call another DICOM node: one association, whose every wait has an end, and that ends as it should."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from pynetdicom import build_context, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationSocket

from ..errors import ServiceError
from .listener import make_node
from .settings import DicomPeer
from .tls import make_client_context

MAX_PDU_BYTES = 131_072
Contexts = Sequence[tuple[str, Sequence[str]]]  # (SOP class, transfer syntaxes): one context each


@contextmanager
def call_peer(
    ae_title: str,
    peer: DicomPeer,
    contexts: Contexts,
    *,
    roles: Sequence[Any] = (),
    handlers: Sequence[evt.EventHandlerType] = (),
) -> Iterator[Association]:
    """Hold an association with a peer as AE title ae_title; it is released at the end, and aborted on an error.

    roles: of pynetdicom's build_role. handlers: of events on it.
    Raises ServiceError, in one line for people, if there is none: no connection, no answer, refused, no context.
    """
    node = make_node(ae_title)
    node.acse_timeout = node.dimse_timeout = node.network_timeout = node.connection_timeout = peer.timeout_seconds
    asked: list[PresentationContext] = [build_context(uid, list(syntaxes)) for uid, syntaxes in contexts]
    association = node.associate(
        peer.host,
        peer.port,
        contexts=asked,
        ae_title=peer.ae_title,
        max_pdu=MAX_PDU_BYTES,
        ext_neg=list(roles),
        tls_args=(make_client_context(peer.tls), peer.host) if peer.tls else None,
        evt_handlers=[(evt.EVT_CONN_OPEN, _limit_waits, [peer.timeout_seconds]), *handlers],
    )
    try:
        if not association.is_established:
            raise ServiceError(_why_none(association))
        yield association
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def hang_up(association: Association) -> None:
    """End an association's connection, from another thread: whoever waits for an answer has none at once."""
    channel = association.dul.socket
    opened = None if channel is None else channel.socket
    with suppress(OSError, TypeError):  # it has ended
        socket.socket.shutdown(cast(socket.socket, opened), socket.SHUT_RDWR)  # of TLS, too


def _limit_waits(event: evt.Event, timeout_s: float) -> None:
    """Give the socket the time that pynetdicom takes from it once it is connected."""
    channel = cast(AssociationSocket, event.assoc.dul.socket)
    if channel.socket is not None:
        channel.socket.settimeout(timeout_s)


def _why_none(association: Association) -> str:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return f"peer rejects the association: {answer.reason_str}"
    if answer is not None:
        return "peer accepts none of the presentation contexts"
    return "peer cannot be reached, or does not answer as a DICOM node"
