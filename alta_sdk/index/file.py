"""The file of an index: arrays that open memory-mapped, sealed by hashes.

    bytes 0-7      the mark "ALTAIDX" and the format's number, 1
    bytes 8-15     length of the header, uint64, little endian
    bytes 16-47    SHA-256 of the header
    bytes 48-...   the header: JSON, with each array's dtype, shape and offset, and the SHA-256 of the rest
    ...            the arrays, each at a multiple of 64 bytes, little endian

The threats: a copy cut short, a flipped bit, an absurd header. The size is checked before anything is
read, the header is bounded, and every byte is under a hash. `docs/index.md` tells each field.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError, IntegrityError
from ..files.atomic import new_file

MARK = b"ALTAIDX\x01"
MAX_HEADER_BYTES = 1 << 20
ALIGNMENT = 64
BLOCK_BYTES = 1 << 24
_PREFIX = struct.Struct("<8sQ32s")
_DTYPES = ("<f4", "<u4", "|u1")
_AGAIN = "copy or make the index again"

Arrays = Mapping[str, NDArray[Any]]


def write_arrays(path: Path, meta: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a file that is complete or not there; raise EngineError if the disk refuses it."""
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
    """Return what the header says and the arrays, mapped from disk and read-only.

    verify: read every byte once and compare the SHA-256 (about a second for a million vectors).
    Raises EngineError if there is no index, IntegrityError if it is not whole or was changed.
    """
    try:
        with open(path, "rb") as file:
            header = _read_header(file.read(_PREFIX.size + MAX_HEADER_BYTES))
        mapped = np.memmap(path, dtype=np.uint8, mode="r")
    except FileNotFoundError as error:
        raise EngineError("index not found: make it with `alta embed` or ReportIndex.write") from error
    except (OSError, ValueError, RecursionError) as error:
        raise EngineError("index cannot be read: check the path and its permissions") from error
    try:
        arrays = {name: _view(mapped, entry) for name, entry in header["arrays"].items()}
        size, start, meta = header["size"], header["start"], dict(header["meta"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"index is damaged or cut short: {_AGAIN}") from error
    if len(mapped) != size:
        raise IntegrityError(f"index has {len(mapped)} bytes, its header says {size}: {_AGAIN}")
    if verify and _digest(mapped[start:]) != header["sha256"]:
        raise IntegrityError(f"index was changed after it was written (SHA-256 differs): {_AGAIN}")
    return meta, arrays


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
    return content


def _view(mapped: NDArray[np.uint8], entry: Mapping[str, Any]) -> NDArray[Any]:
    dtype, shape, offset = entry["dtype"], tuple(entry["shape"]), entry["offset"]
    end = offset + _nbytes(entry)
    if dtype not in _DTYPES or min((*shape, offset)) < 0 or end > len(mapped):
        raise ValueError("an array lies outside the file")
    view: NDArray[Any] = mapped[offset:end].view(dtype).reshape(shape)
    return view


def _blocks(array: NDArray[Any]) -> Iterator[bytes]:
    little = array.dtype.newbyteorder("<")
    rows = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows], dtype=little).tobytes()


def _digest(mapped: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(mapped), BLOCK_BYTES):
        digest.update(mapped[start : start + BLOCK_BYTES].tobytes())
    return digest.hexdigest()
