"""Folders of this machine and prefixes of an S3-compatible store, read and written alike.

What is written is there whole or not at all: on a disk beside and renamed, in a store by one request. Messages of the
store's library quote addresses, which may be a patient's: none gets into ours. Credentials are those of the
environment (AWS_ACCESS_KEY_ID and its like); they are never an argument, and never told.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..errors import EngineError
from ..files.atomic import new_file
from ..files.opening import open_file
from .extra import require

S3 = "s3://"
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
TRIES = 6  # of one request: stores answer 500 and 503 now and then, and connections are cut
MAX_OBJECT_BYTES = 1 << 30
_DENIED = "the store denies access, or the credentials have expired"  # to some requests it answers without a reason


@dataclass(frozen=True)
class Stored:
    """A file or folder of a listing. stamp: what changes when its content does; nothing for a folder."""

    name: str
    is_folder: bool
    stamp: str = ""


class Store(Protocol):
    """A folder, of a disk or of a store; names are relative to it."""

    uri: str

    def is_there(self) -> bool:
        """Tell whether the folder is there, in a store whether its bucket is: prefixes are there with their files."""

    def list_top(self) -> list[Stored]:
        """Return what lies directly in it, by name; nothing if it is not there."""

    def walk(self, name: str) -> list[Stored]:
        """Return the files below a folder in it, by name."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes; FileNotFoundError if it is not there."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


def is_remote(uri: str) -> bool:
    """Tell whether an address is of a store, and not of this machine's disks."""
    return uri.startswith(S3)


def open_store(uri: str) -> Store:
    """Open a folder by its path or address (s3://bucket/prefix). Raises EngineError for an address that is none."""
    if "://" in uri and not is_remote(uri):
        raise EngineError("address is of no store that is known here: give a folder, or s3://bucket/prefix")
    return S3Folder(uri) if is_remote(uri) else DiskFolder(Path(uri))


def join_uri(uri: str, name: str) -> str:
    """Return the address of something in a folder."""
    return f"{uri.rstrip('/')}/{name}" if is_remote(uri) else str(Path(uri) / name)


def name_uri(uri: str) -> str:
    """Return the last part of an address: a file's or folder's name."""
    return uri.rstrip("/").rpartition("/")[2] if is_remote(uri) else Path(uri).name


def find_endpoint() -> str:
    """Return the address of another store than Amazon's, or nothing; EngineError for one without TLS elsewhere."""
    endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    if endpoint and urlsplit(endpoint).scheme != "https" and urlsplit(endpoint).hostname not in LOOPBACK:
        raise EngineError("store has no TLS: radiographs would be readable on the way; give an https:// endpoint")
    return endpoint


def list_storage_options(uri: str) -> dict[str, str] | None:
    """Return what Lance must know of a store beside the credentials in the environment."""
    if not is_remote(uri):
        return None
    endpoint = find_endpoint()
    options = {"client_max_retries": str(TRIES), "client_retry_timeout": "120", "region": _find_region()}
    return options | ({"aws_endpoint": endpoint, "allow_http": "true"} if endpoint.startswith("http://") else {})


class DiskFolder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        """path: it need not be there; writing makes it."""
        self.path = path
        self.uri = str(path)

    def is_there(self) -> bool:
        """Tell whether it is there, and a folder."""
        return os.path.isdir(self.path)

    def list_top(self) -> list[Stored]:
        """Return what lies directly in it, by name."""
        with suppress(FileNotFoundError), os.scandir(self.path) as entries:
            return sorted((_describe(one) for one in entries), key=lambda one: one.name)
        return []

    def walk(self, name: str) -> list[Stored]:
        """Return the files below a folder in it, by name."""
        top = self.path / name
        found = (Path(folder) / file for folder, _, files in os.walk(top) for file in files)
        return [Stored(str(path.relative_to(top)), is_folder=False) for path in sorted(found)]

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        with open_file(self.path / name) as file:
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all."""
        with _told("written"):
            self.path.mkdir(parents=True, exist_ok=True)
            with new_file(self.path / name) as temporary:
                temporary.write_bytes(data)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with _told("written"), suppress(FileNotFoundError):
            os.unlink(self.path / name)


class S3Folder:
    """A prefix of a bucket."""

    def __init__(self, uri: str) -> None:
        """uri: s3://bucket/prefix."""
        self.uri = uri.rstrip("/")
        self._root = self.uri.removeprefix(S3)
        if not self._root.partition("/")[0]:
            raise EngineError("address names no bucket: give s3://bucket/prefix")
        self._fs = _connect()

    def is_there(self) -> bool:
        """Tell whether its bucket is there."""
        from pyarrow import fs

        with _told("listed"):
            found = self._fs.get_file_info(self._root.partition("/")[0])
        return bool(found.type == fs.FileType.Directory)

    def list_top(self) -> list[Stored]:
        """Return what lies directly in it, by name."""
        return self._select(self._root, recursive=False)

    def walk(self, name: str) -> list[Stored]:
        """Return the files below a folder in it, by name."""
        return [one for one in self._select(f"{self._root}/{name}", recursive=True) if not one.is_folder]

    def read(self, name: str) -> bytes:
        """Return an object's bytes."""
        with _told("read"), self._fs.open_input_stream(f"{self._root}/{name}") as stream:
            data: bytes = stream.read(MAX_OBJECT_BYTES + 1)
        if len(data) > MAX_OBJECT_BYTES:
            raise OSError("object is too large")
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write an object by one request."""
        with _told("written"), self._fs.open_output_stream(f"{self._root}/{name}") as stream:
            stream.write(data)

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        with _told("written"), suppress(FileNotFoundError):
            self._fs.delete_file(f"{self._root}/{name}")

    def _select(self, root: str, *, recursive: bool) -> list[Stored]:
        from pyarrow import fs

        with _told("listed"):
            found = self._fs.get_file_info(fs.FileSelector(root, allow_not_found=True, recursive=recursive))
        entries = [
            Stored(one.path[len(root) + 1 :], one.type == fs.FileType.Directory, f"{one.size} {one.mtime_ns}")
            for one in found
        ]
        return sorted(entries, key=lambda one: one.name)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what a disk or a store refuses into one line without an address; a missing file stays one."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if "NO_SUCH_KEY" in str(error):  # removed between two requests of one read
            raise FileNotFoundError from error
        raise EngineError(f"archive or its studies cannot be {what}: {explain_refusal(error)}") from error


def explain_refusal(error: BaseException) -> str:
    """Say in our own words why a disk or a store refuses: its messages quote addresses and requests."""
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno > 0:
        return f"{os.strerror(error.errno)}; check the place, its rights and its space, and run again to go on"
    text = str(error)
    signs = {
        "EXPIRED": "the credentials have expired",
        "ExpiredToken": "the credentials have expired",
        "ACCESS_DENIED": _DENIED,
        "AccessDenied": _DENIED,
        "INVALID_ACCESS_KEY_ID": "the store does not know the credentials",
        "InvalidAccessKeyId": "the store does not know the credentials",
        "SIGNATURE_DOES_NOT_MATCH": "the store does not accept the credentials",
        "SignatureDoesNotMatch": "the store does not accept the credentials",
        "NO_SUCH_BUCKET": "there is no such bucket",
        "NoSuchBucket": "there is no such bucket",
        "No space left": "the disk is full",
    }
    reason = next((said for sign, said in signs.items() if sign in text), "the store refuses, or is not reached")
    return f"{reason}; mend that, and run again to go on"


def _describe(entry: os.DirEntry[str]) -> Stored:
    if entry.is_dir():
        return Stored(entry.name, is_folder=True)
    found = (
        os.stat(entry.path, follow_symlinks=True) if os.path.exists(entry.path) else entry.stat(follow_symlinks=False)
    )
    return Stored(entry.name, is_folder=False, stamp=f"{found.st_size} {found.st_mtime_ns}")


def _find_region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _connect() -> Any:
    """Return pyarrow's file system of the store; nothing is asked of it yet."""
    fs = require("pyarrow.fs", "archive")
    endpoint = urlsplit(find_endpoint())
    more = {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme} if endpoint.netloc else {}
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=TRIES)
    return fs.S3FileSystem(
        region=_find_region(),
        retry_strategy=retries,
        connect_timeout=10,
        request_timeout=60,
        allow_delayed_open=True,
        **more,
    )
