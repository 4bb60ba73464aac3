"""Who made this engine? An Ed25519 signature of its manifest, which holds the hash of every file; checked offline.

The manifest's own hash proves that nothing was damaged, and nothing more: a forger computes it again. A signature is
made with a private key that its owner alone has, and checked with the public key that a site trusts. Keys are PEM
files (PKCS #8 and SubjectPublicKeyInfo), as openssl writes and reads them. The arithmetic is `cryptography`'s.
Source: RFC 8032 (Ed25519), RFC 8410 (its keys in PEM).
"""

import base64
import json
import os
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..errors import EngineError, IntegrityError
from ..files.key_files import read_key_file
from .schema import matching, parse_json, record

SIGNATURE_NAME = "manifest.sig"
MAX_SIGNATURE_BYTES = 4096
MAX_KEY_BYTES = 1 << 16
TRUST_VARIABLE = "ALTA_TRUST"
CONTEXT = b"alta-sdk: manifest of an engine, version 1\n"  # so that it is a signature of nothing else
PRIME = 2**255 - 19
Y_OF_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
SMALL_ORDER_Y = frozenset({0, 1, PRIME - 1, Y_OF_ORDER_8, PRIME - Y_OF_ORDER_8})  # orders 4, 1, 2, 8, 8
CONTENT = record(
    {
        "algorithm": matching("ed25519", "Ed25519"),
        "key": matching("[0-9a-f]{64}", "the fingerprint of a key"),
        "signature": matching("[0-9a-f]{128}", "a signature"),
    }
)


@dataclass(frozen=True)
class TrustedKeys:
    """Public keys by their fingerprint: 32 bytes each."""

    keys: dict[str, bytes]


def choose_trust(given: str | os.PathLike[str] | None) -> TrustedKeys | None:
    """Return the keys that engines must be signed with: of the file given, else of the one that ALTA_TRUST names.

    None if neither names one. Raises EngineError for a file that cannot be read or holds no public key.
    """
    if given is not None and not isinstance(given, str | os.PathLike):
        raise EngineError("the trusted key is given by the path of its file")
    path = os.fspath(given) if given is not None else os.environ.get(TRUST_VARIABLE, "")
    if given is not None and not path:
        raise EngineError("the trusted key is the name of a file: it is empty")
    return read_public_keys(Path(path)) if path else None


def read_public_keys(path: Path) -> TrustedKeys:
    """Read a file of one or more Ed25519 public keys in PEM; raise EngineError if it holds anything else."""
    advice = f"give the .pub file of alta keygen (--trust, {TRUST_VARIABLE})"
    text = _read_key(path, "trusted key", advice)
    blocks = re.findall(rb"-----BEGIN PUBLIC KEY-----\s[A-Za-z0-9+/=\s]*-----END PUBLIC KEY-----", text)
    if not blocks or text.count(b"-----BEGIN") != len(blocks):
        raise EngineError(f"trusted key is not a public key in PEM: {advice}")
    keys = {}
    for block in blocks:
        key = _to_bytes(_load("load_pem_public_key", block, "trusted key", advice))
        if is_weak(key):
            raise EngineError(f"trusted key is one that verifies forged signatures, and nobody's: {advice}")
        keys[fingerprint(key)] = key
    return TrustedKeys(keys)


def is_weak(key: bytes) -> bool:
    """True for a public key that is a point of small order: signatures of any text can be made for it.

    key: 32 bytes. In whatever form the point is written: y in full or less the prime, either sign of x.
    Source: the points of order 1, 2, 4 and 8 of edwards25519 (RFC 8032 section 5.1), which a test works out.
    """
    y = int.from_bytes(key, "little") & ((1 << 255) - 1)
    return y % PRIME in SMALL_ORDER_Y


def fingerprint(key: bytes) -> str:
    """Return what names a public key: the SHA-256 of its 32 bytes, in hexadecimal."""
    return sha256(key).hexdigest()


def check_signature(manifest: bytes, signature: bytes | None, trusted: TrustedKeys) -> str:
    """Return the fingerprint of the trusted key that signed a manifest's bytes; raise IntegrityError if none did."""
    advice = "ask who sent it for a signed one; do not use it"
    if signature is None:
        raise IntegrityError(f"engine is not signed, and this site trusts signed ones alone: {advice}")
    stated = read_signer(signature)
    key = trusted.keys.get(stated["key"])
    if key is None:
        raise IntegrityError(f"engine is signed by the key {stated['key'][:16]}, which is not trusted here: {advice}")
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(bytes.fromhex(stated["signature"]), CONTEXT + manifest)
    except InvalidSignature as error:
        raise IntegrityError(
            "engine's signature is not of this manifest: it was changed, or built for TensorRT, after it was signed; "
            "have it signed again by who vouches for it, or do not use it"
        ) from error
    return stated["key"]


def read_signer(signature: bytes) -> dict[str, str]:
    """Return what a signature's file says, which proves nothing; raise IntegrityError for another file."""
    try:
        if len(signature) > MAX_SIGNATURE_BYTES:
            raise ValueError("too long")
        content: dict[str, str] = parse_json(signature)
        CONTENT(content, "")
    except ValueError as error:
        raise IntegrityError(
            f"{SIGNATURE_NAME} is not a signature of an engine: have the engine signed again"
        ) from error
    return content


def sign(manifest: bytes, key: Any) -> bytes:
    """Return the bytes of manifest.sig: the signature of a manifest's bytes by a private key."""
    content = {
        "algorithm": "ed25519",
        "key": fingerprint(_to_bytes(key.public_key())),
        "signature": key.sign(CONTEXT + manifest).hex(),
    }
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode("ascii")


def read_private_key(path: Path) -> Any:
    """Read an Ed25519 private key; raise EngineError if it is another file, or open to every user."""
    advice = "give the file that alta keygen made"
    text = _read_key(path, "signing key", advice, is_secret=True)
    return _load("load_pem_private_key", text, "signing key", advice, password=None)


def make_key_pair() -> tuple[bytes, bytes]:
    """Return a new private key and its public key, both in PEM."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return private, key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)


def describe_public_key(pem: bytes) -> str:
    """Return the fingerprint of one public key in PEM."""
    return fingerprint(base64.b64decode(b"".join(pem.splitlines()[1:-1]))[-32:])


def _load(function: str, pem: bytes, what: str, advice: str, **more: Any) -> Any:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    try:
        key = getattr(serialization, function)(pem, **more)
    except Exception as error:  # ValueError, TypeError (a passphrase), UnsupportedAlgorithm, and the library's own
        raise EngineError(f"{what} cannot be read: it is damaged, or has a passphrase; {advice}") from error
    if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        raise EngineError(f"{what} is of another kind than Ed25519: {advice}")
    return key


def _to_bytes(public_key: Any) -> bytes:
    raw: bytes = public_key.public_bytes_raw()
    return raw


def _read_key(path: Path, what: str, advice: str, *, is_secret: bool = False) -> bytes:
    data = read_key_file(path, what, advice, most=MAX_KEY_BYTES, is_secret=is_secret)
    if len(data) > MAX_KEY_BYTES:
        raise EngineError(f"{what} is no key: {advice}")
    return data
