"""A client of DICOMweb: search (QIDO-RS), retrieve (WADO-RS), store (STOW-RS), each bounded in time and size.

Over Python's own HTTP: a request goes where the settings say and nowhere else (no redirect, no proxy or password of the
environment is followed), ends at its time whatever the server does, and what comes back is left as bytes for the
bounded parsing of this package. dicomweb-client parses whole answers without bounds and logs URLs, which hold UIDs.

Images are always asked for in the syntax that they are kept in: asked for a default, a server that cannot transcode
JPEG 2000 answers 500. Source: DICOM PS3.18 sections 8.6, 8.7.3, 10.4 to 10.6.
"""

import http.client
import json
import secrets
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from .._version import __version__
from ..errors import ServiceError
from ..files.opening import read_bytes
from .multipart import BOUNDARY, DICOM_JSON, RELATED, read_parameters
from .settings import WebPeer

AS_KEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
MAX_ANSWER_BYTES = 1 << 22  # of a search or a store
MAX_CREDENTIALS_BYTES = 4096
FAILED_SOP_SEQUENCE = "00081198"
_READ_BYTES = 1 << 18
_LATE = "server does not answer in time"


class StatusError(ServiceError):
    """A server answers, but not that it did what was asked."""

    def __init__(self, status: int, told: str) -> None:
        """Keep the HTTP status, and say in one line what is wrong."""
        super().__init__(told)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """What a server answered: the status, the content type, and the whole body."""

    status: int
    content_type: str
    body: bytes


class WebClient:
    """Asks one DICOMweb server; a connection a request."""

    def __init__(self, peer: WebPeer) -> None:
        """Read the credentials and the authority; raise ServiceError if they, or the URL, cannot be used."""
        self._peer = peer
        is_secure, self._host, self._port, self._path = _split_url(peer.url)
        self._context = _make_context(peer) if is_secure else None
        self._headers = {"User-Agent": f"alta-sdk/{__version__}", **_read_credentials(peer)}

    def search(self, path: str, query: Mapping[str, str], *, seconds: float | None = None) -> list[dict[str, Any]]:
        """Return the matches of a search as DICOM JSON; raise ServiceError if the server does not give them."""
        answer = self._ask("GET", f"{path}?{urlencode(query)}", {"Accept": DICOM_JSON}, seconds=seconds)
        if answer.status == 204:
            return []
        _check(answer, (200,))
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise ServiceError("server's answer to a search is no DICOM JSON")
        return found

    def retrieve(self, path: str, *, most_bytes: int, seconds: float | None = None) -> list[bytes]:
        """Return the DICOM files of a resource, as the server keeps them; raise ServiceError."""
        answer = self._ask("GET", path, {"Accept": AS_KEPT}, most_bytes=most_bytes, seconds=seconds)
        _check(answer, (200,))
        return split_parts(answer)

    def store(self, data: bytes) -> None:
        """Store one DICOM file; raise ServiceError unless the server has taken it, StatusError if it says so."""
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii")
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": DICOM_JSON,
        }
        body = head + data + f"\r\n--{boundary}--\r\n".encode("ascii")
        answer = self._ask("POST", "/studies", headers, body=body)
        _check(answer, (200, 202))
        try:
            failed = json.loads(answer.body).get(FAILED_SOP_SEQUENCE, {}).get("Value")  # Orthanc gives an empty one
        except (ValueError, AttributeError, RecursionError):
            failed = answer.status == 202  # it says in no form that is read here that something was not stored
        if failed:
            raise StatusError(409, "server does not store the object: its answer names it as failed")

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: bytes | None = None,
        most_bytes: int = MAX_ANSWER_BYTES,
        seconds: float | None = None,
    ) -> Answer:
        """Send one request and read its answer; raise ServiceError without one, in time and within its bounds."""
        seconds = self._peer.timeout_seconds if seconds is None else min(seconds, self._peer.timeout_seconds)
        if seconds <= 0:
            raise ServiceError(_LATE)
        until = time.monotonic() + seconds
        connection = http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        try:
            with _cut_off(seconds) as opened:
                self._connect(connection, seconds, opened)
                connection.request(method, self._path + path, body, {**self._headers, **headers})
                answer = connection.getresponse()
                body_read = _read(answer, most_bytes)
            if time.monotonic() >= until:  # what was cut off may look as if it had ended
                raise ServiceError(_LATE)
            return Answer(answer.status, answer.headers.get("Content-Type", ""), body_read)
        except (OSError, http.client.HTTPException, AttributeError, ValueError) as error:
            is_late = isinstance(error, TimeoutError) or time.monotonic() >= until
            raise ServiceError(_LATE if is_late else _tell_why(error)) from error
        finally:
            connection.close()

    def _connect(self, connection: http.client.HTTPConnection, seconds: float, opened: list[socket.socket]) -> None:
        plain = connection.sock = socket.create_connection((self._host, self._port), seconds)
        opened.append(plain)
        if self._context is not None:
            connection.sock = self._context.wrap_socket(
                plain, server_hostname=self._host, do_handshake_on_connect=False
            )
            opened.append(connection.sock)
            connection.sock.do_handshake()


def split_parts(answer: Answer) -> list[bytes]:
    """Return the bodies of a multipart answer's parts; raise ServiceError if it is none.

    Source: RFC 2046 section 5.1.
    """
    media_type, parameters = read_parameters(answer.content_type)
    boundary = parameters.get("boundary", "")
    if media_type != RELATED or BOUNDARY.fullmatch(boundary) is None:
        raise ServiceError("server's answer is not multipart/related")
    delimiter = b"\r\n--" + boundary.encode("ascii")
    pieces = (b"\r\n" + answer.body).split(delimiter)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise ServiceError("server's answer ends too early")
    return [piece.partition(b"\r\n\r\n")[2] for piece in pieces[1:-1]]


def join_path(*parts: str) -> str:
    """Return a resource's path of its parts, each quoted."""
    return "".join("/" + quote(part, safe="") for part in parts)


def _split_url(url: str) -> tuple[bool, str, int, str]:
    """Return whether a URL asks for TLS, and its host, port and path."""
    try:
        parts = urlsplit(url)
        is_secure, port = parts.scheme == "https", parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ServiceError("url of a DICOMweb server is none: give http://HOST:PORT/PATH or https://HOST/PATH")
    return is_secure, parts.hostname, port or (443 if is_secure else 80), parts.path.rstrip("/")


def _check(answer: Answer, allowed: Sequence[int]) -> None:
    if answer.status not in allowed:
        advice = {401: ": check its credentials", 403: ": check its credentials", 404: ": check its url"}
        raise StatusError(answer.status, f"server answers with status {answer.status}{advice.get(answer.status, '')}")


def _tell_why(error: Exception) -> str:
    """Say why there is no answer, without what the server or the network says of itself."""
    if isinstance(error, ssl.SSLError):
        return f"server is not trusted, or TLS fails: {error.reason or 'unknown'}"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "no HTTP answer"
    return f"server cannot be reached, or ends the connection: {reason}"


@contextmanager
def _cut_off(seconds: float) -> Iterator[list[socket.socket]]:
    """End what is opened when its time is over, whatever it waits for: a timeout of a socket is one of each wait.

    Gives the list that sockets are added to: of an answer without a length, the connection forgets its own.
    """
    opened: list[socket.socket] = []

    def cut() -> None:
        for one in opened:
            with suppress(OSError):  # it has ended
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # of TLS, too, under whoever reads it

    timer = threading.Timer(max(seconds, 0.0), cut)
    timer.daemon = True
    timer.start()
    try:
        yield opened
    finally:
        timer.cancel()


def _read(answer: http.client.HTTPResponse, most: int) -> bytes:
    data = bytearray()
    while block := answer.read(min(_READ_BYTES, most + 1 - len(data))):
        data += block
        if len(data) > most:
            raise ServiceError(f"server's answer is larger than {most >> 10} KiB: refused")
    if answer.length:  # what was announced and did not come
        raise ServiceError("server's answer ends too early")
    return bytes(data)


def _make_context(peer: WebPeer) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=peer.authority)
    except (OSError, ValueError) as error:
        raise ServiceError("authority of a DICOMweb server cannot be read: give certificates as PEM") from error


def _read_credentials(peer: WebPeer) -> dict[str, str]:
    """Return the header that the file of credentials asks for, none without such a file."""
    if peer.credentials is None:
        return {}
    try:
        given = read_bytes(peer.credentials, MAX_CREDENTIALS_BYTES)
        line = given.decode("utf-8").strip() if len(given) <= MAX_CREDENTIALS_BYTES else ""
    except (OSError, ValueError) as error:
        raise ServiceError("credentials of a DICOMweb server cannot be read: check the file") from error
    if line.startswith("Bearer ") and line.isascii() and line.isprintable():
        return {"Authorization": line}
    if ":" in line and line.isprintable():
        return {"Authorization": "Basic " + b64encode(line.encode("utf-8")).decode("ascii")}
    raise ServiceError('credentials of a DICOMweb server are one line: "user:password" or "Bearer TOKEN"')
