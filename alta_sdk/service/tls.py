"""TLS for DICOM: both sides show a certificate, or the connection ends (BCP 195, PS3.15 B.12: TLS 1.2 or later).

Whom to trust is said by one file, the certificate of an authority or of the peer itself. Names of hosts are not
compared: certificates of modalities seldom have them, and the file says whose they are.
"""

import os
import ssl
from pathlib import Path

from ..errors import ServiceError
from .settings import Tls


def make_server_context(tls: Tls) -> ssl.SSLContext:
    """Return what takes connections of peers with a certificate of the authority. Raises ServiceError."""
    return _make_context(ssl.PROTOCOL_TLS_SERVER, tls)


def make_client_context(tls: Tls) -> ssl.SSLContext:
    """Return what connects to a peer with a certificate of the authority. Raises ServiceError."""
    return _make_context(ssl.PROTOCOL_TLS_CLIENT, tls)


def _make_context(protocol: int, tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the peer's own certificate may be the authority
    try:
        context.load_verify_locations(cafile=tls.authority)
    except (OSError, ValueError) as error:
        raise ServiceError(f"tls: authority {_why(tls.authority, error)}; give certificates as PEM") from error
    try:
        # An empty password: a key that needs one is refused, not asked for.
        context.load_cert_chain(tls.certificate, tls.key, password="")
    except (OSError, ValueError) as error:
        faulty = tls.certificate if not os.path.isfile(tls.certificate) else tls.key
        kind = "certificate" if faulty is tls.certificate else "certificate or key"
        raise ServiceError(f"tls: {kind} {_why(faulty, error)}; give both as PEM, the key without password") from error
    return context


def _why(path: Path, error: Exception) -> str:
    """Say why a file cannot be used, without its path."""
    if not isinstance(error, ssl.SSLError) and isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return (
        "is empty" if os.path.isfile(path) and not path.stat().st_size else "is not what it should be, or does not fit"
    )
