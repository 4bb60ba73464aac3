"""Split a DICOM file into what its file meta information says and its data set, which stays as it came.

Source: PS3.10 section 7.1. Only the few elements of group 2 that are needed are read, under bounds, without pydicom.
"""

import re
import struct
from dataclasses import dataclass

from ...errors import DicomError

_PREAMBLE = 128
_MAX_META_BYTES = 1 << 16
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SOP_CLASS, _SOP_UID, _SYNTAX = 0x0002, 0x0003, 0x0010
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_ADVICE = "send a whole DICOM file"


@dataclass(frozen=True)
class FileParts:
    """One file: SOP class, SOP instance and transfer syntax, and the bytes of the data set in that syntax."""

    sop_class: str
    sop_uid: str
    syntax: str
    dataset: bytes


def split_file(data: bytes) -> FileParts:
    """Split a DICOM file; raise DicomError if it has no preamble, or no file meta information that can be read."""
    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        raise DicomError(f"part is not a DICOM file: the DICM mark is missing; {_ADVICE}")
    found: dict[int, bytes] = {}
    place = _PREAMBLE + 4
    while data[place : place + 2] == b"\x02\x00":
        number, value, place = _read_element(data, place)
        found[number] = value
        if place > _MAX_META_BYTES:
            raise DicomError(f"part has file meta information of more than {_MAX_META_BYTES >> 10} KiB: refused")
    if not place < len(data):
        raise DicomError(f"part is truncated: it ends before its data set; {_ADVICE}")
    sop_class, sop_uid, syntax = (_read_uid(found.get(tag, b"")) for tag in (_SOP_CLASS, _SOP_UID, _SYNTAX))
    return FileParts(sop_class, sop_uid, syntax, data[place:])


def _read_element(data: bytes, place: int) -> tuple[int, bytes, int]:
    """Return the number of an element of group 2, its value, and where the next begins; explicit little endian."""
    header = data[place : place + 12]
    if len(header) < 8:
        raise DicomError(f"part is truncated in its file meta information; {_ADVICE}")
    number = struct.unpack_from("<H", header, 2)[0]
    is_long = header[4:6] in _LONG
    if is_long and len(header) < 12:
        raise DicomError(f"part is truncated in its file meta information; {_ADVICE}")
    length = struct.unpack_from("<I", header, 8)[0] if is_long else struct.unpack_from("<H", header, 6)[0]
    start = place + (12 if is_long else 8)
    if start + length > len(data):
        raise DicomError(f"part is truncated in its file meta information; {_ADVICE}")
    return number, data[start : start + length], start + length


def _read_uid(value: bytes) -> str:
    text = value.decode("ascii", "replace").rstrip("\0 ")
    if len(text) > 64 or not _UID.fullmatch(text):
        raise DicomError(f"part lacks a UID in its file meta information; {_ADVICE}")
    return text
