"""What a caller holds in memory: bytes, an open binary file, or a pydicom data set, such as a network listener has.

Each becomes the bytes of a file, which are then read like any other, under the same bounds. Of a data set only what
is read here is encoded, so that an element that nothing uses cannot get in the way; it stays as it was.
"""

import copy
import io
import sys
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, Union

from ..errors import DicomError, StudyError
from .elements import item_tags, read_tags
from .pixel_element import PIXEL_DATA, PIXEL_TAGS
from .study_file import MAX_FILE_BYTES

if TYPE_CHECKING:
    from pydicom import Dataset

PIECE_BYTES = 1 << 24
OFFSET_TABLES = frozenset({0x7FE00001, 0x7FE00002})  # of pixel data: where its frames are
ITEM_MARK = b"\xfe\xff\x00\xe0"  # compressed pixels begin with it


class OpenFile(Protocol):
    """An open binary file, or what reads like one: read from where it stands to its end, and left open."""

    def read(self, size: int = ..., /) -> bytes:
        """Read no more than so many bytes; none at the end."""


Held = Union[bytes, bytearray, memoryview, OpenFile, "Dataset"]


def is_held(thing: object) -> TypeGuard[Held]:
    """True for what `read_held` takes."""
    return isinstance(thing, bytes | bytearray | memoryview) or _is_dataset(thing) or hasattr(thing, "read")


def read_held(thing: Held) -> bytes:
    """Return the bytes of a file that the caller holds in some form.

    Raises StudyError for more than the bound, a text file or one that cannot be read; DicomError for a data set that
    cannot be encoded.
    """
    if _is_dataset(thing):
        return encode_dataset(thing)
    data = bytes(thing) if isinstance(thing, bytes | bytearray | memoryview) else _read_open(thing)
    if len(data) > MAX_FILE_BYTES:
        raise StudyError(f"a file of the study is larger than {MAX_FILE_BYTES >> 30} GiB: refused")
    if not data:
        raise StudyError("bytes or file of the study are empty: a file is read from where it stands, so seek(0) first")
    return data


def encode_dataset(dataset: "Dataset") -> bytes:
    """Encode what is read of a data set as a DICOM file, in its own transfer syntax; it is not changed.

    Raises DicomError if it cannot be, or does not say how its pixels are coded.
    """
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset

    file = io.BytesIO()
    try:
        kept = _keep(dataset, read_tags() | PIXEL_TAGS | OFFSET_TABLES)
        meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
        kept.file_meta = FileMetaDataset()
        for keyword in ("MediaStorageSOPClassUID", "TransferSyntaxUID"):
            if meta.get(keyword):
                setattr(kept.file_meta, keyword, meta.get(keyword))
        _state_syntax(kept)
        kept.preamble = bytes(128)
        dcmwrite(file, kept)
    except DicomError:
        raise
    except Exception as error:  # pydicom raises more kinds than it documents, and quotes values
        raise DicomError("pydicom data set is damaged: an element of it does not hold what it should") from error
    return file.getvalue()


def _is_dataset(thing: object) -> TypeGuard["Dataset"]:
    pydicom: Any = sys.modules.get("pydicom")  # where it was not imported, nobody has a data set
    return pydicom is not None and isinstance(thing, pydicom.Dataset)


def _read_open(file: OpenFile) -> bytes:
    parts: list[bytes] = []
    left = MAX_FILE_BYTES + 1
    try:
        while left > 0:
            part: object = file.read(min(left, PIECE_BYTES))
            if not isinstance(part, bytes | bytearray | memoryview):
                raise StudyError("file of the study gives no bytes: open it in binary mode")
            if not part:
                break
            parts.append(bytes(part))
            left -= len(part)
    except StudyError:
        raise
    except Exception as error:  # anything may be given that has a `read`: closed, damaged, of archives, of another form
        raise StudyError("file of the study cannot be read: open it for reading, in binary mode") from error
    return b"".join(parts)


def _keep(dataset: "Dataset", tags: frozenset[int]) -> "Dataset":
    """Return a data set with some elements of another, of its sequences those that are read of items."""
    from pydicom import DataElement, Dataset

    kept = Dataset()
    is_implicit, is_little_endian = dataset.original_encoding
    kept.set_original_encoding(is_implicit, is_little_endian, dataset.original_character_set)
    for tag in tags & dataset.keys():
        element: Any = dataset.get_item(tag)
        if isinstance(element, DataElement):
            element = copy.copy(element)
            if element.VR == "SQ":
                element = DataElement(tag, "SQ", [_keep(item, item_tags()) for item in element.value or []])
        kept[tag] = element
    return kept


def _state_syntax(dataset: "Dataset") -> None:
    """Name the transfer syntax where the data set does not: by how it was read, else as it would be written."""
    from pydicom.uid import (
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
    )

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax == DeflatedExplicitVRLittleEndian:  # in memory it is not deflated
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if syntax:
        return
    raw: Any = dataset.get_item(PIXEL_DATA) if PIXEL_DATA in dataset else None
    if isinstance(raw.value if raw else None, bytes) and raw.value.startswith(ITEM_MARK):
        raise DicomError(
            "pydicom data set does not say how its pixels are coded: set its file_meta, "
            "in a network listener that of the event"
        )
    is_implicit, is_little_endian = dataset.original_encoding
    if is_little_endian is False:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    else:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
