"""Passwords of the page's users: kept as scrypt hashes, checked one at a time, slower after each failure.

A hash reads `scrypt:LOG2_N:R:P:SALT:HASH` (RFC 7914; salt and hash in base64 without padding); `alta service
hash-password` makes one. Cost: 32 MiB and about a quarter of a second.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import ServiceError

LOG2_N, R, P = 15, 8, 3
SALT_BYTES, HASH_BYTES = 16, 32
MIN_LENGTH, MAX_LENGTH = 12, 1024
USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_FREE_FAILURES = 3  # people mistype
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 60.0
_FORGET_S = 3600.0
_MAX_TRACKED = 4096
_KNOWN_S = 300.0
_MAX_KNOWN = 256
_HASH = re.compile(r"scrypt:(\d{1,2}):(\d{1,2}):(\d{1,2}):([A-Za-z0-9+/]{16,88}):([A-Za-z0-9+/]{43})")
_ADVICE = "make one with: alta service hash-password"


@dataclass(frozen=True)
class PasswordHash:
    """A hash as it is configured, valid once made."""

    log2_n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def read(cls, text: str) -> "PasswordHash":
        """Read a hash; raise ServiceError if it is none, or weaker or dearer than may be."""
        found = _HASH.fullmatch(text)
        if not found:
            raise ServiceError(f"password hash is not scrypt:LOG2_N:R:P:SALT:HASH: {_ADVICE}")
        log2_n, r, p = (int(one) for one in found.groups()[:3])
        if not (LOG2_N <= log2_n <= 18 and 8 <= r <= 16 and 1 <= p <= 16):
            raise ServiceError(f"password hash has costs outside of 15 to 18, 8 to 16 and 1 to 16: {_ADVICE}")
        try:
            salt, digest = (base64.b64decode(one + "=" * (-len(one) % 4), validate=True) for one in found.groups()[3:])
        except binascii.Error as error:
            raise ServiceError(f"password hash is not base64: {_ADVICE}") from error
        return cls(log2_n, r, p, salt, digest)

    def matches(self, password: str) -> bool:
        """Return whether this is the password, in a time that does not tell how close it is."""
        return hmac.compare_digest(_derive(password, self.salt, self.log2_n, self.r, self.p), self.digest)


def hash_password(password: str) -> str:
    """Return the hash to configure; raise ServiceError for a password that is too short, or no text of one line."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ServiceError(f"password has to have {MIN_LENGTH} to {MAX_LENGTH} characters")
    if not password.isprintable():
        raise ServiceError("password holds characters that cannot be typed: use letters, digits, signs and spaces")
    salt = secrets.token_bytes(SALT_BYTES)
    digest = _derive(password, salt, LOG2_N, R, P)
    salt_text, digest_text = (base64.b64encode(one).decode("ascii").rstrip("=") for one in (salt, digest))
    return f"scrypt:{LOG2_N}:{R}:{P}:{salt_text}:{digest_text}"


def _derive(password: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    n = 1 << log2_n
    text = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * n * r + (1 << 20), dklen=HASH_BYTES)


@dataclass
class _Failures:
    count: int
    until: float  # nothing is tried before
    last: float


class Delays:
    """How long one who failed has to wait: from the fourth failure on, a second, doubled each time, up to a minute."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._by_name: dict[str, _Failures] = {}

    def left(self, name: str) -> float:
        """Return the seconds that nothing is tried for."""
        found = self._by_name.get(name)
        return max(0.0, found.until - time.monotonic()) if found else 0.0

    def count_failure(self, name: str) -> None:
        """Count a failure."""
        now = time.monotonic()
        if name not in self._by_name and len(self._by_name) >= _MAX_TRACKED:
            oldest = min(self._by_name, key=lambda one: self._by_name[one].last)
            del self._by_name[oldest]
        found = self._by_name.get(name)
        count = 1 if found is None or now - found.last > _FORGET_S else found.count + 1
        over = min(count - _FREE_FAILURES, 16)
        delay = min(_FIRST_DELAY_S * 2 ** (over - 1), _LONGEST_DELAY_S) if over > 0 else 0.0
        self._by_name[name] = _Failures(count, now + delay, now)

    def forget(self, name: str) -> None:
        """Forget failures after a success."""
        self._by_name.pop(name, None)


class Login:
    """The users, and who may try again when; safe to share between threads."""

    def __init__(self, users: Sequence[tuple[str, str]]) -> None:
        """Read every user's hash; raise ServiceError for one that is none."""
        self._hashes = {name: PasswordHash.read(text) for name, text in users}
        self._nobody = PasswordHash(LOG2_N, R, P, secrets.token_bytes(SALT_BYTES), secrets.token_bytes(HASH_BYTES))
        self._lock = threading.Lock()
        self._delays = Delays()
        self._secret = secrets.token_bytes(32)
        self._known: dict[bytes, tuple[str, float]] = {}

    @property
    def has_users(self) -> bool:
        """False if nobody needs to log in."""
        return bool(self._hashes)

    def wait_left(self, name: str, address: str) -> float:
        """Return the seconds that this user, or this address, has to wait before anything is tried."""
        with self._lock:
            return max(self._delays.left(key) for key in self._keys(name, address))

    def check(self, name: str, password: str, address: str) -> bool:
        """Return whether the password is right; one check at a time, so that many cost no more memory than one."""
        if len(password) > MAX_LENGTH:
            password = ""
        with self._lock:
            if any(self._delays.left(key) for key in self._keys(name, address)):
                return False  # of many at once only the first may try
            is_right = self._hashes.get(name, self._nobody).matches(password)
            for key in self._keys(name, address):
                if is_right:
                    self._delays.forget(key)
                else:
                    self._delays.count_failure(key)
            return is_right

    def check_again(self, name: str, password: str, address: str) -> bool:
        """Return the same for a program, which shows its password with every request: a right one is known a while."""
        tag = hmac.digest(self._secret, f"{name}\0{password}".encode("utf-8", "surrogatepass"), "sha256")
        now = time.monotonic()
        with self._lock:
            self._known = {key: value for key, value in self._known.items() if value[1] > now}
            if self._known.get(tag, ("",))[0] == name:
                return True
        is_right = self.check(name, password, address)
        if is_right:
            with self._lock:
                if len(self._known) < _MAX_KNOWN:
                    self._known[tag] = (name, now + _KNOWN_S)
        return is_right

    def _keys(self, name: str, address: str) -> tuple[str, ...]:
        """What failures are counted by: where they come from, and whose password is tried."""
        return (f"address {address}", f"user {name}") if name in self._hashes else (f"address {address}",)
