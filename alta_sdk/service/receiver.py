"""The DICOM node: verification, storage of radiographs, and storage commitment in both roles.

What arrives goes to Reception as it came. No text of an exception is told to a peer, and nothing that a peer says is
logged: pynetdicom's own loggers are silent (`listener.py`).
"""

import logging
import secrets
import threading
import time
from typing import cast

from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE

from ..errors import ServiceError
from .commitment import Commitments
from .database import error_text
from .listener import STRANGER_S, Listener, Places, admit, make_node
from .reception import Outcome, Reception
from .settings import Settings
from .syntaxes import COMMAND_SYNTAXES, STORAGE_COMMITMENT, VERIFICATION
from .tls import make_server_context

ANYBODY = ("*",)
PROCESSING_FAILURE = 0x0110
_log = logging.getLogger("alta_sdk")


class Receiver:
    """Listens until it is stopped; its threads are pynetdicom's."""

    def __init__(self, settings: Settings, reception: Reception, commitments: Commitments) -> None:
        """Take objects for a reception, and commitments' requests and answers. Nothing is opened yet."""
        self._receiving, self._reception, self._commitments = settings.receiving, reception, commitments
        self._places = Places(settings.receiving.maximum_associations)
        self._server: Listener | None = None

    def start(self) -> None:
        """Listen. Raises ServiceError if certificates cannot be used or the address is taken."""
        receiving = self._receiving
        context = make_server_context(receiving.tls) if receiving.tls else None
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_REQUESTED, admit, [self._places, receiving.idle_seconds]),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, self._act),
            (evt.EVT_N_EVENT_REPORT, self._hear),
        ]
        try:
            self._server = cast(
                Listener,
                self._make_node().make_server(
                    (receiving.host, receiving.port),
                    ssl_context=context,
                    evt_handlers=handlers,
                    server_class=Listener,
                ),
            )
        except OSError as error:
            raise ServiceError(
                f"port {receiving.port} cannot be listened on: {error_text(error)}; check [receiving] host and port"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="alta receiver", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is listened on: the system's choice where the settings say 0."""
        return int(self._server.server_address[1]) if self._server else self._receiving.port

    def count_associations(self) -> int:
        """Return how many associations there are."""
        return self._places.count()

    def is_alive(self) -> bool:
        """True while it listens."""
        return self._server is not None and self._thread.is_alive()

    def stop(self, most_seconds: float = 10.0) -> None:
        """Take no more connections, let associations end for some seconds, and abort the others."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        until = time.monotonic() + most_seconds
        while server.active_associations and time.monotonic() < until:
            time.sleep(0.05)
        for association in server.active_associations:
            association.abort()

    def _make_node(self) -> AE:
        receiving = self._receiving
        node = make_node(receiving.ae_title)
        node.require_called_aet = True
        anybody = receiving.calling_ae_titles == ANYBODY
        # An empty list would let everybody in; nobody knows this title.
        node.require_calling_aet = [] if anybody else list(receiving.calling_ae_titles) or [secrets.token_hex(8)]
        node.maximum_pdu_size = receiving.maximum_pdu
        node.acse_timeout = STRANGER_S
        node.dimse_timeout = node.network_timeout = receiving.idle_seconds
        node.add_supported_context(VERIFICATION, list(COMMAND_SYNTAXES))
        node.add_supported_context(STORAGE_COMMITMENT, list(COMMAND_SYNTAXES), scu_role=True, scp_role=True)
        for sop_class in self._reception.storage_classes:
            node.add_supported_context(sop_class, list(self._reception.syntaxes))
        return node

    def _store(self, event: evt.Event) -> int:
        try:
            request = cast(C_STORE, event.request)
            return self._reception.take(
                event.encoded_dataset(include_meta=False),
                str(request.AffectedSOPClassUID),
                str(request.AffectedSOPInstanceUID),
                str(event.context.transfer_syntax),
                event.assoc.requestor.ae_title,
            )
        except Exception as error:  # pynetdicom would tell it, with its traceback, to its logger
            _log.error("a store request could not be read: %s", type(error).__name__)
            return Outcome.NOT_UNDERSTOOD

    def _act(self, event: evt.Event) -> tuple[int, None]:
        try:
            return self._commitments.take_request(event.assoc.requestor.ae_title, event.action_information), None
        except Exception as error:
            _log.error("a request for storage commitment could not be read: %s", type(error).__name__)
            return PROCESSING_FAILURE, None

    def _hear(self, event: evt.Event) -> tuple[int, None]:
        try:
            return self._commitments.take_report(event.event_information), None
        except Exception as error:
            _log.error("an answer on storage commitment could not be read: %s", type(error).__name__)
            return PROCESSING_FAILURE, None
