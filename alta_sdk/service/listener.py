"""pynetdicom's server with bounds: what a stranger may hold of this process before it is known, and a peer after that.

As it comes, a TLS handshake blocks every other connection, a peer that says nothing more keeps its thread for ever, a
message may be as long as memory, timers ask a clock that may jump, and connections that are about to be refused count
as associations: with many at once all are refused. Here handshakes have a thread and a time of their own, every wait
an end, every message a bound, and places are given to those that are let in.
"""

import logging
import socket
import threading
import time
from contextlib import suppress
from socketserver import BaseServer
from typing import TYPE_CHECKING, Any, cast

from pynetdicom import AE, _config, evt, timer
from pynetdicom.association import Association
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

if TYPE_CHECKING:
    from pynetdicom.pdu_primitives import P_DATA

MAX_PDU_BYTES = 1 << 20  # of an association's request and of whatever else: data come in pieces of what we state
MAX_MESSAGE_BYTES = 1 << 27
MAX_COMMAND_BYTES = 1 << 16
MAX_WAITING_MESSAGES = 4  # a peer waits for each answer, as asynchronous operations are not negotiated
_ROOM_S = 0.002
STRANGER_S = 10.0  # for a handshake, and to ask for an association
LOCAL_LIMIT = (0x02, 0x03, 0x02)  # rejected, transient: the presentation layer's limit (PS3.8 9.3.4)

# Its messages quote what peers say.
logging.getLogger("pynetdicom").addHandler(logging.NullHandler())
logging.getLogger("pynetdicom").propagate = False
_config.LOG_HANDLER_LEVEL = "none"


class _Clock:
    """What pynetdicom's timers ask: a clock that does not jump, where they would ask one that does."""

    time = staticmethod(time.monotonic)


timer.time = _Clock  # type: ignore[assignment,attr-defined]
_log = logging.getLogger("alta_sdk")


class Places:
    """How many associations there may be at once: those that were let in, and have not ended."""

    def __init__(self, most: int) -> None:
        """Begin with every place free."""
        self._most = most
        self._holders: list[Association] = []
        self._lock = threading.Lock()

    def take(self, association: Association) -> bool:
        """Give an association a place until it ends; False if there is none."""
        with self._lock:
            self._holders = [one for one in self._holders if one.is_alive() and not one.is_rejected]
            if len(self._holders) >= self._most:
                return False
            self._holders.append(association)
            return True

    def count(self) -> int:
        """Return how many are taken."""
        with self._lock:
            return sum(one.is_alive() for one in self._holders)


class Listener(ThreadedAssociationServer):
    """Takes connections in threads, which end with the process."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take what pynetdicom's server takes."""
        super().__init__(*arguments, **{**options, "request_handler": _Handler})

    def server_bind(self) -> None:
        """Take the address; Windows would share a port that is taken, unless it is told not to."""
        listening = cast(socket.socket, self.socket)
        listening.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR), 1)
        listening.bind(self.server_address)
        self.server_address = listening.getsockname()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; its handshake is not waited for here."""
        connection, address = cast(socket.socket, self.socket).accept()
        connection.settimeout(STRANGER_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands, and begin the association."""
        if self.ssl_context:
            try:
                request = self.ssl_context.wrap_socket(request, server_side=True)
            except OSError as error:  # SSLError is one
                reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
                _log.warning("a connection was dropped at its TLS handshake: %s", reason)
                self.shutdown_request(request)
                return
        super().finish_request(request, client_address)

    def shutdown(self) -> None:
        """Take no more connections; those that are there go on."""
        BaseServer.shutdown(self)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of the peer: the default prints a traceback."""
        _log.error("a connection could not be served")


class _Handler(RequestHandler):
    def _create_association(self) -> Association:
        association = super()._create_association()
        bound_association(association)
        bound_channel(cast(AssociationSocket, association.dul.socket))
        return association


def bound_association(association: Association) -> None:
    """Bound what a peer can make this process hold: of one message, and of messages that wait."""
    dimse = association.dimse
    receive_primitive = dimse.receive_primitive

    def take_primitive(primitive: "P_DATA") -> None:
        if association.is_requestor:
            _wait_for_room(association)
        if dimse.msg_queue.qsize() > MAX_WAITING_MESSAGES or _is_too_long(dimse.message):
            _end_for_garbage(association)
            return
        try:
            receive_primitive(primitive)
        except Exception:  # it would end this thread with a traceback, and leave the association hanging
            _end_for_garbage(association)

    dimse.receive_primitive = take_primitive  # type: ignore[method-assign]


def _wait_for_room(association: Association) -> None:
    """Read no further until what came was taken: the answers to one question of ours, a C-FIND, may be many."""
    while association.dimse.msg_queue.qsize() > MAX_WAITING_MESSAGES:
        if association._kill or association._sent_abort:
            return
        time.sleep(_ROOM_S)


def bound_channel(channel: AssociationSocket) -> None:
    """Bound what is read of a connection at once, and close it whatever state it is in."""

    def receive(nr_bytes: int) -> bytearray:
        return _receive(cast(socket.socket, channel.socket), nr_bytes)

    def close() -> None:
        """Close the socket also where the peer has left: pynetdicom lets go of it open."""
        if connection := channel.socket:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    channel._shutdown_socket = close  # type: ignore[method-assign]
    channel.recv = receive  # type: ignore[method-assign]


def _end_for_garbage(association: Association) -> None:
    association.dimse.message = None
    association.dul.event_queue.put("Evt19")  # an invalid PDU: the association is aborted


def _receive(connection: socket.socket, count: int) -> bytearray:
    """Read so many bytes, or fewer at the end of the connection, without pynetdicom's copies."""
    if count > MAX_PDU_BYTES:
        raise OSError("PDU is too long")  # taken for a connection that was closed
    data = bytearray(count)
    view, got = memoryview(data), 0
    while got < count:
        more = connection.recv_into(view[got:])
        if not more:
            break
        got += more
    view.release()
    del data[got:]
    return data


def _is_too_long(message: DIMSEMessage | None) -> bool:
    if message is None:
        return False
    data = message.data_set
    size = data.tell() if data is not None else 0
    return size > MAX_MESSAGE_BYTES or message.encoded_command_set.tell() > MAX_COMMAND_BYTES


def admit(event: evt.Event, places: Places, idle_s: float) -> None:
    """Let a requested association in if there is a place, and take syntaxes in the order that it prefers.

    idle_s: after which a peer that stops in the middle of something is left.

    Titles are checked after this by pynetdicom; whoever fails there ends, and its place is free.
    """
    association = event.assoc
    if not places.take(association):
        association.acse.send_reject(*LOCAL_LIMIT)
        association.kill()
        return
    if connection := cast(AssociationSocket, association.dul.socket).socket:
        connection.settimeout(idle_s)
    proposed: dict[str, list[str]] = {}
    for context in association.requestor.requested_contexts:
        proposed.setdefault(str(context.abstract_syntax), []).extend(map(str, context.transfer_syntax))
    for context in association.acceptor.supported_contexts:
        order = proposed.get(str(context.abstract_syntax), [])
        known = {str(syntax) for syntax in context.transfer_syntax}
        if wanted := [syntax for syntax in dict.fromkeys(order) if syntax in known]:
            context.transfer_syntax = [*wanted]  # of one context with several, the first that its file may be in


class _Node(AE):
    def _create_socket(self, assoc: Association, *arguments: Any) -> AssociationSocket:
        channel = super()._create_socket(assoc, *arguments)
        bound_association(assoc)
        bound_channel(channel)
        return channel


def make_node(ae_title: str) -> AE:
    """Return an application entity of ours, whose associations are bounded in either role."""
    node = _Node(ae_title)
    node.maximum_associations = 1 << 16  # Places count instead
    return node
