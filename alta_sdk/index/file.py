"""The file of an index: arrays, sealed by hashes, that are read whole.

    bytes 0-7      the mark "ALTAIDX" and the format's number, 1
    bytes 8-15     length of the header, uint64, little endian
    bytes 16-47    SHA-256 of the header
    bytes 48-...   the header: JSON, with each array's dtype, shape and offset, and the SHA-256 of the rest
    ...            the arrays, each at a multiple of 64 bytes, little endian

The threats: a copy cut short, a flipped bit, an absurd header, a file that changes while it is open. The size is
checked before anything is read, the header is bounded, and every byte is under a hash. The file is not mapped: one
that another program cuts short would end this process at the next search (SIGBUS), and one that it rewrites would
be searched without having been verified. `docs/indexes.md` tells each field.
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

MARK = b"ALTAIDX\x01"
MAX_HEADER_BYTES = 1 << 20
ALIGNMENT = 64
BLOCK_BYTES = 1 << 24
_PREFIX = struct.Struct("<8sQ32s")
_DTYPES = ("<f4", "<u4", "|u1")
_AGAIN = "copy or make the index again"

Arrays = Mapping[str, NDArray[Any]]


def is_index(head: bytes) -> bool:
    """Tell by its first bytes whether a file is an index, of any version."""
    return head.startswith(MARK[:7])


def write_arrays(path: Path, meta: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a file that is complete or not there; raise EngineError if it is no index, or the disk refuses it."""
    if os.path.isfile(path):
        check_replaceable(path, "index", is_index, EngineError)
    header_bytes = len(_render(meta, {name: _entry(array, 10**15) for name, array in arrays.items()}, "0" * 64))
    layout = _lay_out(arrays, header_bytes)
    try:
        with new_file(path) as temporary, open(temporary, "wb") as file:
            file.seek(min(entry["offset"] for entry in layout.values()))  # the header comes last: it holds the hash
            digest = hashlib.sha256()
            for name, array in arrays.items():
                padding = b"\0" * (layout[name]["offset"] - file.tell())
                for block in (padding, *_blocks(array)):
                    file.write(block)
                    digest.update(block)
            header = _render(meta, layout, digest.hexdigest()).ljust(header_bytes)
            file.seek(0)
            file.write(_PREFIX.pack(MARK, len(header), hashlib.sha256(header).digest()) + header)
    except OSError as error:
        raise EngineError(f"index cannot be written: {error.strerror}; close it elsewhere, or free the disk") from error


def read_arrays(path: Path, *, verify: bool = True) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what the header says and the arrays, in memory and read-only.

    verify: compare the SHA-256 of what was read (about a second for a million vectors).
    Raises EngineError if there is no index, IntegrityError if it is not whole or was changed.
    """
    try:
        with open_file(path) as file:
            size_on_disk = os.fstat(file.fileno()).st_size
            header = _read_header(file.read(_PREFIX.size + MAX_HEADER_BYTES))
            content = _read_whole(file, header, size_on_disk)
    except FileNotFoundError as error:
        raise EngineError("index not found: make it with `alta embed` or ReportIndex.write") from error
    except OSError as error:
        raise EngineError(f"index cannot be read: {error.strerror}; check the path and its permissions") from error
    except (ValueError, RecursionError) as error:
        raise EngineError("index cannot be read: check the path and its permissions") from error
    except MemoryError as error:
        raise EngineError("index does not fit into memory: free some, or make smaller indexes") from error
    try:
        arrays = {name: _view(content, entry) for name, entry in header["arrays"].items()}
        start, meta = header["start"], dict(header["meta"])
        is_changed = verify and _digest(content[start:]) != header["sha256"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"index is damaged or cut short: {_AGAIN}") from error
    if is_changed:
        raise IntegrityError(f"index was changed after it was written (SHA-256 differs): {_AGAIN}")
    return meta, arrays


def _read_whole(file: BinaryIO, header: Mapping[str, Any], size: int) -> NDArray[np.uint8]:
    """Return every byte of the file, read-only, aligned as the arrays are in it."""
    stated = header.get("size")
    if size != stated:
        says = f"its header says {stated}" if isinstance(stated, int) else "its header says no number"
        raise IntegrityError(f"index has {size} bytes, {says}: {_AGAIN}")
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


def _entry(array: NDArray[Any], offset: int) -> dict[str, Any]:
    return {"dtype": array.dtype.newbyteorder("<").str, "shape": list(array.shape), "offset": offset}


def _lay_out(arrays: Arrays, header_bytes: int) -> dict[str, Any]:
    end, layout = _PREFIX.size + header_bytes, {}
    for name, array in arrays.items():
        start = -(-end // ALIGNMENT) * ALIGNMENT
        layout[name] = _entry(array, start)
        end = start + array.nbytes
    return layout


def _render(meta: Mapping[str, Any], layout: Mapping[str, Any], sha256: str) -> bytes:
    last = max(layout.values(), key=lambda entry: entry["offset"])
    content = {
        "arrays": dict(layout),
        "meta": dict(meta),
        "sha256": sha256,
        "size": last["offset"] + _nbytes(last),
        "start": min(entry["offset"] for entry in layout.values()),
    }
    return json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False).encode("ascii")


def _nbytes(entry: Mapping[str, Any]) -> int:
    count = int(np.dtype(entry["dtype"]).itemsize)
    for length in entry["shape"]:
        count *= length
    return count


def _read_header(data: bytes) -> dict[str, Any]:
    if len(data) < _PREFIX.size or data[:7] != MARK[:7]:
        raise IntegrityError("not an index of alta: give the file that `alta embed` wrote")
    mark, length, digest = _PREFIX.unpack_from(data)
    if mark != MARK:
        raise EngineError("index is of a newer format than this SDK reads: upgrade alta-sdk")
    header = data[_PREFIX.size : _PREFIX.size + length]
    if length > MAX_HEADER_BYTES or hashlib.sha256(header).digest() != digest:
        raise IntegrityError(f"index is damaged or cut short: {_AGAIN}")
    content: dict[str, Any] = json.loads(header)
    if not isinstance(content, dict):
        raise IntegrityError(f"index is damaged or cut short: {_AGAIN}")
    return content


def _view(content: NDArray[np.uint8], entry: Mapping[str, Any]) -> NDArray[Any]:
    dtype, shape, offset = entry["dtype"], tuple(entry["shape"]), entry["offset"]
    end = offset + _nbytes(entry)
    if dtype not in _DTYPES or min((*shape, offset)) < 0 or end > len(content):
        raise ValueError("an array lies outside the file")
    view: NDArray[Any] = content[offset:end].view(dtype).reshape(shape)
    return view


def _blocks(array: NDArray[Any]) -> Iterator[bytes]:
    little = array.dtype.newbyteorder("<")
    rows = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows], dtype=little).tobytes()


def _digest(content: NDArray[np.uint8]) -> str:
    return hashlib.sha256(content.data).hexdigest()
