"""Which object a data set is: read of its first elements alone, so that it costs little while a peer waits.

The values are taken as bytes and checked here: nothing of them is parsed, and none gets into a message.
"""

import io
import re
import zlib
from dataclasses import dataclass, field
from typing import Any

from ..errors import DicomError
from .bounded_file import BoundedFile, ReadBudget
from .parsing import DEFLATED
from .repeated import TagNotes

IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
SOP_CLASS, SOP_INSTANCE, STUDY, SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
_WANTED = frozenset({SOP_CLASS, SOP_INSTANCE, STUDY, SERIES})
_MAX_INFLATED_BYTES = 1 << 24  # up to the series: what a header may hold before it
_UID = re.compile(rb"[0-9.]{1,64}")  # PS3.5 9.1, without what archives do not keep to themselves


@dataclass(frozen=True)
class InstanceIdentity:
    """The UIDs of one object: patient data but for its class, never shown."""

    sop_class: str
    sop_uid: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)


def read_identity(dataset: bytes, syntax: str) -> InstanceIdentity:
    """Read the UIDs of a data set as it comes over a network, without file meta information.

    syntax: the transfer syntax that it is encoded in. Raises DicomError if a UID is missing or none, stands twice,
    or cannot be reached within the bounds.
    """
    try:
        values = _read_values(_inflate(dataset) if syntax == DEFLATED else dataset, syntax)
    except DicomError:
        raise
    except Exception as error:  # pydicom raises more kinds than it documents, and quotes values
        raise DicomError("not a DICOM data set, or one that is damaged or truncated") from error
    uids = [values.get(tag, b"").rstrip(b"\0 ") for tag in (SOP_CLASS, SOP_INSTANCE, STUDY, SERIES)]
    if not all(_UID.fullmatch(uid) for uid in uids):
        raise DicomError(
            "DICOM data set does not say which object it is: what names its class, study or series is wrong"
        )
    return InstanceIdentity(*(uid.decode("ascii") for uid in uids))


def _read_values(dataset: bytes, syntax: str) -> dict[int, bytes]:
    from pydicom.filereader import read_dataset

    file = BoundedFile(io.BytesIO(dataset), ReadBudget())
    notes = TagNotes(file, _WANTED)

    def is_behind(tag: int, vr: str | None, length: int) -> bool:
        notes.note(tag)
        return tag > SERIES

    found = read_dataset(
        file,  # type: ignore[arg-type]  # it wants read, seek and tell
        is_implicit_VR=syntax == IMPLICIT,
        is_little_endian=syntax != BIG_ENDIAN,
        stop_when=is_behind,
        defer_size=file.longest_value,
        specific_tags=list(_WANTED),
    )
    raw: dict[int, Any] = {int(tag): found.get_item(tag) for tag in _WANTED & found.keys()}
    # pydicom takes what is there of a value that the end of the data cuts.
    return {tag: one.value for tag, one in raw.items() if isinstance(one.value, bytes) and len(one.value) == one.length}


def _inflate(dataset: bytes) -> bytes:
    """Return the start of a deflated data set (PS3.5 A.5)."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(dataset, _MAX_INFLATED_BYTES)
