"""Parse DICOM files to the end, under bounds: bytes in, a data set out whose elements that are used are all parsed.

pydicom is imported on use (0.3 s). Its exceptions and warnings quote header values, which may be
patient data, so none of them leaves this module. It parses elements on access, with its own kinds of
errors: so what `elements.py` lists is parsed here, and can be read without a surprise; of other elements
only the structure counts, not the value. The data set stays inside this room: `image.py` says what the rest
of the SDK sees of it.
"""

import io
import logging
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Any

from ..errors import DicomError
from .elements import item_tags, later_tags, read_tags

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_INFLATED_BYTES = 1 << 27  # of a deflated file: twice the largest frame
MAX_ELEMENTS = 100_000
MAX_DEPTH = 32  # of sequences in sequences
MAX_VALUE_BYTES = 1 << 18  # of an element that is parsed into numbers or text: twice the largest look-up table
TWICE = "DICOM file holds an element twice: it is damaged, or two files in one"
DEFLATED = "1.2.840.10008.1.2.1.99"
# Kept as bytes, or as text that is decoded in one piece: long values are in order.
UNPARSED_VR = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "OB or OW", "UN", "SQ", "UT", "UC", "UR"})
FILE_META_TAGS = frozenset({0x00020002, 0x00020010})  # MediaStorageSOPClassUID, TransferSyntaxUID
EXPLICIT_VR = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US UT".split())

logging.getLogger("pydicom").propagate = False
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")


def is_dicom(data: bytes) -> bool:
    """True if the bytes open as DICOM: with the preamble (PS3.10 section 7.1), or with a first element."""
    return has_preamble(data) or data[:4] == b"DICM" or _opens_with_element(data)


def has_preamble(data: bytes) -> bool:
    """True if the DICM mark stands where PS3.10 wants it."""
    return data[128:132] == b"DICM"


def parse_dicom(data: bytes) -> "Dataset":
    """Parse a DICOM file, with or without preamble and file meta information.

    Returns the data set with all of its elements parsed, the transfer syntax in file_meta.
    Raises DicomError if it is not DICOM, ends too early, or is larger or deeper than the bounds.
    """
    if not is_dicom(data):
        raise DicomError("not a DICOM file: the DICM mark is missing; give a DICOM, JPEG or PNG radiograph")
    try:
        header = _parse(data)
        _refuse_replaced(header)
        _parse_elements(header)
        kind = str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "")
    except DicomError:
        raise
    except Exception as error:  # pydicom raises more kinds than it documents
        raise DicomError("DICOM file is damaged or truncated: its header cannot be read to the end") from error
    # pydicom ends silently at a premature end of file, with the elements before it or none at all.
    if "Rows" not in header and (not kind or _is_image_class(kind)):
        raise DicomError("DICOM image file is damaged or truncated: its image elements are missing; send it again")
    return header


def _parse(data: bytes) -> "Dataset":
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if not has_preamble(data) and data[:4] == b"DICM":
        data = bytes(128) + data
    if DEFLATED.encode() in data[:4096]:
        return _parse_deflated(data)
    header: Dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    if getattr(header, "file_meta", None) is None:
        header.file_meta = FileMetaDataset()
    if not header.file_meta.get("TransferSyntaxUID"):
        is_implicit, is_little_endian = header.original_encoding
        if not is_little_endian:
            header.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        else:
            header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    return header


def _parse_deflated(data: bytes) -> "Dataset":
    """Parse a file whose data set is deflated (PS3.5 A.5), inflating no more than the bound."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset

    file = io.BytesIO(data)
    file.seek(132 if has_preamble(data) else 0)
    meta = read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, vr, length: tag >> 16 != 2
    )
    if str(meta.get("TransferSyntaxUID") or "") != DEFLATED:
        raise DicomError("DICOM file is damaged: its transfer syntax is not where it should be")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(data[file.tell() :], MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail:
        raise DicomError(f"deflated DICOM file is larger than {MAX_INFLATED_BYTES >> 20} MiB when inflated: refused")
    if not inflater.eof:
        raise DicomError("DICOM file is damaged or truncated: its deflated part ends too early")
    header = read_dataset(io.BytesIO(inflated), is_implicit_VR=False, is_little_endian=True)
    header.file_meta = FileMetaDataset(meta)
    return header


def _parse_elements(header: "Dataset") -> None:
    """Parse every element that is used, in sequences too; raise DicomError beyond the bounds."""
    pending = [(header.file_meta, 0), (header, 0)]
    count = 0
    while pending:
        dataset, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise DicomError(f"DICOM file has sequences more than {MAX_DEPTH} levels deep: refused")
        count += len(dataset)
        if count > MAX_ELEMENTS:
            raise DicomError(f"DICOM file has more than {MAX_ELEMENTS} elements: refused")
        for tag in list(dataset.keys()):
            for item in _parse_element(dataset, tag):
                pending.append((item, depth + 1))


def _refuse_replaced(header: "Dataset") -> None:
    """Refuse a file in which an element that is used came twice, as in two files in one: pydicom keeps the last.

    A repeated element keeps its place in the order of the data set, and has the offset of the later one; and the
    second file's meta information lies among the elements.
    """
    if any(tag >> 16 == 2 for tag in header.keys()):
        raise DicomError(TWICE)
    last = -1
    for tag in reversed([tag for tag in header.keys() if tag in read_tags()]):
        element: Any = header.get_item(tag, keep_deferred=True)
        offset = getattr(element, "value_tell", None) or getattr(element, "file_tell", None)
        if offset is not None:
            if last >= 0 and offset > last:
                raise DicomError(TWICE)
            last = offset


def _parse_element(dataset: "Dataset", tag: Any) -> list["Dataset"]:
    """Parse one element if it is used, and return the items of a sequence; raise DicomError if it cannot be used."""
    is_used = tag in read_tags() or tag in item_tags() or tag in FILE_META_TAGS
    if is_used and tag not in later_tags():
        items = _parse_used(dataset, tag)
        if _defined_vr(tag) == "SQ" and dataset[tag].VR != "SQ":  # readers will ask its items
            raise DicomError("DICOM file is damaged: an element that is a sequence holds something else")
        return items
    try:
        return _parse_used(dataset, tag) if is_used else _find_items(dataset, tag)
    except DicomError:  # beyond a bound
        raise
    except Exception:  # pydicom raises more kinds than it documents
        return []


def _parse_used(dataset: "Dataset", tag: Any) -> list["Dataset"]:
    """Parse one element and return the items of a sequence; raise DicomError if it is too long."""
    raw = dataset.get_item(tag)
    vr = getattr(raw, "VR", None)
    is_parsed = (_defined_vr(tag) if vr in (None, "UN") else vr) not in UNPARSED_VR
    value = getattr(raw, "value", None)
    if is_parsed and isinstance(value, bytes) and len(value) > MAX_VALUE_BYTES:
        raise DicomError(f"DICOM file has an element longer than {MAX_VALUE_BYTES >> 10} KiB: refused")
    return _items_of(dataset[tag])


def _find_items(dataset: "Dataset", tag: Any) -> list["Dataset"]:
    """Return the items of an element that is not used, if it is a sequence: they count for the bounds."""
    vr = getattr(dataset.get_item(tag), "VR", None)
    if "SQ" not in (vr, _defined_vr(tag)):
        return []
    return _items_of(dataset[tag])


def _items_of(element: Any) -> list["Dataset"]:
    return list(element.value or []) if element.VR == "SQ" else []


def _defined_vr(tag: Any) -> str:
    from pydicom.datadict import dictionary_VR

    try:
        return dictionary_VR(tag)
    except KeyError:  # private, or not in the dictionary
        return "UN"


def _is_image_class(uid: str) -> bool:
    from pydicom.uid import UID

    return "Image Storage" in UID(uid).name


def _opens_with_element(data: bytes) -> bool:
    """True if the bytes start with an element of group 2 or 8, in either byte order, with or without VR."""
    for order in "<>":
        if len(data) < 8:
            return False
        group, number, length = struct.unpack(f"{order}HHI", data[:8])
        if group in (2, 8) and number <= 0x0100:
            return data[4:6] in EXPLICIT_VR or order == "<" and length <= min(len(data), 1024)
    return False
