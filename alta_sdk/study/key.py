"""Name a study without naming anybody: a keyed hash of its StudyInstanceUID, stable on one site.

The threat: a plain hash of a UID is undone by hashing every UID of the archive, so the hash is keyed
(HMAC-SHA256, RFC 2104) with a secret that never leaves the site. Whoever holds the key and the archive
can find a study again; an index or a log alone says nothing. So the key is not kept where the index is: who copies
that folder, or backs it up, would carry both.
"""

import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from ..dicom.files import FileSource, PathLike, StudyFiles, read_files
from ..errors import EngineError, StudyError
from ..files.key_files import read_key_file
from ..files.new_files import create_file
from ..files.user_settings import find_settings

KEY_BYTES = 16  # of a study's name: 128 bits, so that two studies of one site never share one
SECRET_BYTES = 32
SITE_KEY_NAME = "alta-site.key"
SITE_KEY_VARIABLE = "ALTA_SITE_KEY"
_MAX_FILE_BYTES = 4096


@dataclass(frozen=True)
class SiteKey:
    """The secret of one site; never shown."""

    secret: bytes = field(repr=False)

    def sign(self, identity: bytes) -> bytes:
        """Return the 16 bytes that stand for an identity on this site."""
        return hmac.digest(self.secret, identity, "sha256")[:KEY_BYTES]

    @property
    def fingerprint(self) -> str:
        """Tells two site keys apart, without telling the key."""
        return self.sign(b"alta-sdk: which site key").hex()[:16]


def open_site_key(path: PathLike | None, beside: Path | None) -> tuple[SiteKey, bool]:
    """Return the key of this site and whether it was made just now.

    path: the key file, which must exist; else `find_site_key` says where it is, and there it is made, readable by
    its owner alone, if it is not there. Raises EngineError.
    """
    is_named = bool(path or os.environ.get(SITE_KEY_VARIABLE))
    found = find_site_key(path, beside)
    is_new = not is_named and not os.path.exists(found) and _make_key(found)
    return _read_key(found), is_new


def find_site_key(path: PathLike | None, beside: Path | None) -> Path:
    """Return where this site's key is, or is to be made.

    path, else the file that ALTA_SITE_KEY names, else `alta-site.key` in the folder `beside` of an index if it is
    there, as older versions put it, else the one in this user's settings folder. Raises EngineError if there is no
    such folder.
    """
    named = path or os.environ.get(SITE_KEY_VARIABLE)
    if named:
        return Path(named)
    old = None if beside is None else beside / SITE_KEY_NAME
    return old if old is not None and os.path.lexists(old) else find_settings_folder() / SITE_KEY_NAME


def find_settings_folder() -> Path:
    """Return alta-sdk's folder among this user's settings, which need not be there yet; raises EngineError."""
    folder = find_settings()
    if folder is None:
        raise EngineError(f"no home folder to keep the site key in: give --key-file, or set {SITE_KEY_VARIABLE}")
    return folder


def identify_study(source: FileSource) -> bytes:
    """Return what a study's key is made of: its StudyInstanceUID, or the SHA-256 of its files.

    Patient data: sign it, never show it. Files that cannot be read at all are identified by the name
    of the first path. Raises nothing of its own.
    """
    if isinstance(source, StudyFiles):
        return _identify_files(source)
    try:
        return _identify_files(read_files(source))
    except StudyError:
        return identify_unreadable(source if isinstance(source, str | os.PathLike) else source[0])


def identify_uid(study_uid: str) -> bytes:
    """Return what a study's key is made of where its StudyInstanceUID is known: patient data, never shown."""
    return b"uid:" + study_uid.encode()


def identify_unreadable(path: PathLike) -> bytes:
    """Return what the key of a study is made of whose files cannot be read: the name of its first path."""
    name = Path(path).name
    try:
        return b"name:" + os.fsencode(name)
    except UnicodeEncodeError:  # a name that no file can have
        return b"name:" + name.encode("utf-8", "surrogatepass")


def _identify_files(study: StudyFiles) -> bytes:
    for file in study.files:
        if uid := file.read_study_uid():
            return identify_uid(uid)
    digests = sorted(file.read_digest() for file in study.files)
    return b"content:" + b"".join(digests)


def _make_key(path: Path) -> bool:
    """Write a new key file; False if another process was faster."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_file(path, (secrets.token_hex(SECRET_BYTES) + "\n").encode("ascii"), 0o600)  # a key is never replaced
    except FileExistsError:
        return False
    except OSError as error:
        raise EngineError(f"site key cannot be written: {error.strerror}; give --key-file") from error
    return True


def _read_key(path: Path) -> SiteKey:
    advice = f"check --key-file or {SITE_KEY_VARIABLE}"
    text = read_key_file(path, "site key", advice, most=_MAX_FILE_BYTES, is_secret=True).strip()
    try:
        secret = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise EngineError(f"site key is not {2 * SECRET_BYTES} hexadecimal digits: give the file that alta made")
    return SiteKey(secret)
