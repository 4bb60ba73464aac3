"""The file of an index: safetensors, so that other programs read it, sealed by hashes, and read whole.

    bytes 0-7      length of the header, uint64, little endian
    bytes 8-...    the header: JSON; "__metadata__" has the mark, the format's number, what the vectors are, the SHA-256
                   of the arrays, and that of the header itself (with 64 zeros in its own place); then each array's
                   dtype, shape and offsets; blanks up to a multiple of 64 bytes
    ...            the arrays, one behind the other, little endian

The threats: a copy cut short, a flipped bit, an absurd header, a file that changes while it is open. The header is
bounded, the size is checked before anything else is read, and every byte is under a hash. The file is not mapped: one
that another program cuts short would end this process at the next search (SIGBUS), and one that it rewrites would be
searched without having been verified. So it is read here, in one go and without a copy; tests hold what is written to
safetensors' own library. `docs/indexes.md` tells each field.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError, IntegrityError
from ..files.atomic import new_file
from ..files.opening import open_file
from ..files.targets import check_replaceable

MARK = b'{"__metadata__":{"alta":"index",'
OLD_MARK = b"ALTAIDX"  # of version 1, a format of our own
VERSION = 2
MAX_HEADER_BYTES = 1 << 20
ALIGNMENT = 64
BLOCK_BYTES = 1 << 24
_LENGTH = struct.Struct("<Q")
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "U8": np.dtype("|u1")}
_UNSEALED = "0" * 64
_AGAIN = "copy or make the index again"
_OLD = (
    "index is of an older alta-sdk: remove it, and make it anew with `alta embed FOLDER --engine ENGINE --out INDEX`, "
    "of reports with `alta rank STUDY --engine ENGINE --reports REPORTS --write-index INDEX`"
)

Arrays = Mapping[str, NDArray[Any]]


def is_index(head: bytes) -> bool:
    """Tell by its first bytes whether a file is an index, of any version."""
    return head[_LENGTH.size :].startswith(MARK) or head.startswith(OLD_MARK)


def write_arrays(path: Path, meta: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a file that is complete or not there; raise EngineError if it is no index, or the disk refuses it."""
    if os.path.isfile(path):
        check_replaceable(path, "index", is_index, EngineError)
    digest = hashlib.sha256()
    for block in _list_blocks(arrays):
        digest.update(block)
    header = _render(meta, arrays, digest.hexdigest())
    try:
        with new_file(path) as temporary, open(temporary, "wb") as file:
            file.write(_LENGTH.pack(len(header)) + header)
            for block in _list_blocks(arrays):
                file.write(block)
    except OSError as error:
        raise EngineError(f"index cannot be written: {error.strerror}; close it elsewhere, or free the disk") from error


def read_arrays(path: Path, *, verify: bool = True) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what the header says of the vectors, and the arrays, in memory and read-only.

    verify: compare the SHA-256 of what was read (about a second for a million vectors).
    Raises EngineError if there is no index, IntegrityError if it is not whole or was changed.
    """
    try:
        with open_file(path) as file:
            size_on_disk = os.fstat(file.fileno()).st_size
            header, start = _read_header(file.read(_LENGTH.size + MAX_HEADER_BYTES))
            size = start + max(_read_end(entry) for name, entry in header.items() if name != "__metadata__")
            if size_on_disk != size:
                raise IntegrityError(f"index has {size_on_disk} bytes, its header says {size}: {_AGAIN}")
            content = _read_whole(file, size)
    except FileNotFoundError as error:
        raise EngineError("index not found: make it with `alta embed` or ReportIndex.write") from error
    except OSError as error:
        raise EngineError(f"index cannot be read: {error.strerror}; check the path and its permissions") from error
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError, OverflowError) as error:
        raise IntegrityError(f"index is damaged or cut short: {_AGAIN}") from error
    except MemoryError as error:
        raise EngineError("index does not fit into memory: free some, or make smaller indexes") from error
    try:
        told = header.pop("__metadata__")
        arrays = {name: _view(content[start:], entry) for name, entry in header.items()}
        meta: dict[str, Any] = dict(json.loads(told["meta"]))
        is_changed = verify and _digest(content[start:]) != told["sha256"]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"index is damaged or cut short: {_AGAIN}") from error
    if is_changed:
        raise IntegrityError(f"index was changed after it was written (SHA-256 differs): {_AGAIN}")
    return meta, arrays


def _read_whole(file: BinaryIO, size: int) -> NDArray[np.uint8]:
    """Return every byte of the file, read-only, aligned as the arrays are in it."""
    room = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    content = room[start : start + size]
    file.seek(0)
    filled, view = 0, content.data
    while filled < size and (count := file.readinto(view[filled:])):  # type: ignore[attr-defined]
        filled += count
    if filled < size:
        raise IntegrityError(f"index was cut short while it was read: {_AGAIN}")
    content.flags.writeable = False
    return content


def _read_end(entry: Mapping[str, Any]) -> int:
    end: int = entry["data_offsets"][1]
    if type(end) is not int or end < 0:
        raise ValueError("an array ends nowhere")
    return end


def _render(meta: Mapping[str, Any], arrays: Arrays, sha256: str) -> bytes:
    """Return the header, sealed, its length a multiple of 64 with the eight bytes before it."""
    told = {
        "alta": "index",
        "header_sha256": _UNSEALED,
        "meta": json.dumps(dict(meta), sort_keys=True, allow_nan=False),
        "sha256": sha256,
        "version": str(VERSION),
    }
    content: dict[str, Any] = {"__metadata__": told}
    end = 0
    for name, array in arrays.items():
        (dtype,) = (known for known, kind in _DTYPES.items() if kind == array.dtype.newbyteorder("<"))
        content[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")
    header = text.ljust(-(-(len(text) + _LENGTH.size) // ALIGNMENT) * ALIGNMENT - _LENGTH.size)
    return header.replace(_UNSEALED.encode(), hashlib.sha256(header).hexdigest().encode(), 1)


def _read_header(data: bytes) -> tuple[dict[str, Any], int]:
    """Return the header and where the arrays begin. Raises EngineError, IntegrityError or ValueError."""
    if data.startswith(OLD_MARK):
        raise EngineError(_OLD)
    if len(data) < _LENGTH.size or not is_index(data):
        raise IntegrityError("not an index of alta: give the file that `alta embed` wrote")
    (length,) = _LENGTH.unpack_from(data)
    header = data[_LENGTH.size : _LENGTH.size + length]
    if length > MAX_HEADER_BYTES or len(header) < length:
        raise ValueError("the header is too long or cut short")
    content: dict[str, Any] = json.loads(header)
    told = content["__metadata__"]
    if int(told["version"]) > VERSION:
        raise EngineError("index is of a newer format than this SDK reads: upgrade alta-sdk")
    seal = told["header_sha256"]
    if hashlib.sha256(header.replace(seal.encode(), _UNSEALED.encode(), 1)).hexdigest() != seal:
        raise ValueError("the header was changed")
    return content, _LENGTH.size + length


def _view(content: NDArray[np.uint8], entry: Mapping[str, Any]) -> NDArray[Any]:
    kind, shape, (start, end) = _DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    nbytes = kind.itemsize
    for length in shape:
        nbytes *= length
    if min((*shape, start)) < 0 or end > len(content) or end - start != nbytes:
        raise ValueError("an array lies outside the file")
    view: NDArray[Any] = content[start:end].view(kind).reshape(shape)
    return view


def _list_blocks(arrays: Arrays) -> Iterator[bytes]:
    for array in arrays.values():
        little = array.dtype.newbyteorder("<")
        rows = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
        for start in range(0, len(array), rows):
            yield np.ascontiguousarray(array[start : start + rows], dtype=little).tobytes()


def _digest(content: NDArray[np.uint8]) -> str:
    return hashlib.sha256(content.data).hexdigest()
