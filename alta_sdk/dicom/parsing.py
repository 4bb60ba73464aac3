"""Parse DICOM files under bounds: a file in, a data set out that holds what is read of it, all parsed.

pydicom is imported on use (0.3 s). Its exceptions and warnings quote header values, which may be
patient data, so none of them leaves this module. It parses elements on access, with its own kinds of
errors: so everything is parsed here, and what is returned can be read without a surprise. The data set
stays inside this room: `image.py` says what the rest of the SDK sees of it.

Elements that nobody reads are skipped, and what is parsed is bounded in number, size and depth.
"""

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import DicomError
from .bounded_file import BoundedFile, ReadBudget, is_left_out, refuse_value
from .elements import item_tags, later_tags, optional_tags, read_tags
from .pixel_element import PIXEL_TAGS, read_pixel_element
from .repeated import TagNotes, refuse_repeated

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_INFLATED_BYTES = 1 << 27  # of a deflated file: twice the largest frame
MAX_DEPTH = 32  # of sequences in sequences
MAX_VALUE_BYTES = 1 << 14  # of an element that is parsed into numbers or text
MAX_TABLE_BYTES = 1 << 18  # of the entries of a look-up table: twice the largest
MAX_TABLES_BYTES = 1 << 22  # of all tables together
VALUE_BYTES_PER_READ = 8  # parsing so many takes as long as a read
TABLE_BYTES_PER_READ = 256
LUT_DATA = 0x00283006
TABLE_VR = frozenset({"US", "SS", "OW", "OB", "UN", None})
META_TAGS = frozenset({0x00020002, 0x00020010})  # MediaStorageSOPClassUID, TransferSyntaxUID
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US UT".split())

logging.getLogger("pydicom").propagate = False
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")


def is_dicom(data: bytes) -> bool:
    """True if the bytes open as DICOM: with the preamble (PS3.10 section 7.1), or with a first element."""
    return has_preamble(data) or data[:4] == b"DICM" or _opens_with_element(data)


def has_preamble(data: bytes) -> bool:
    """True if the DICM mark stands where PS3.10 wants it."""
    return data[128:132] == b"DICM"


def parse_dicom(source: bytes | BinaryIO, budget: ReadBudget | None = None) -> "Dataset":
    """Parse a DICOM file, with or without preamble and file meta information.

    source: its bytes, or the open file, which is read from its start. budget: shared with other files.
    Returns the data set with those of its elements that are read (`elements.py`), all parsed, and with its pixel
    data; the transfer syntax is in file_meta.
    Raises DicomError if it is not DICOM, ends too early, or is larger or deeper than the bounds.
    """
    opened: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else source
    opened.seek(0)
    start = opened.read(4096)
    if not is_dicom(start):
        raise DicomError("not a DICOM file: the DICM mark is missing; give a DICOM, JPEG or PNG radiograph")
    try:
        header, file = _parse(opened, start, budget or ReadBudget())
        read_pixel_element(file, header)
        _Parser(file).parse(header)
        kind = str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "")
    except DicomError:
        raise
    except Exception as error:  # pydicom raises more kinds than it documents
        raise DicomError("DICOM file is damaged or truncated: its header cannot be read to the end") from error
    # pydicom ends silently at a premature end of file, with the elements before it or none at all.
    if "Rows" not in header and (not kind or _is_image_class(kind)):
        raise DicomError("DICOM image file is damaged or truncated: its image elements are missing; send it again")
    return header


def _parse(opened: BinaryIO, start: bytes, budget: ReadBudget) -> tuple["Dataset", BoundedFile]:
    """Return the elements that are read, up to the pixels, and the file that stands there."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_partial
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if DEFLATED.encode() in start:
        return _parse_deflated(opened, budget)
    if not has_preamble(start) and start[:4] == b"DICM":
        opened = io.BytesIO(bytes(128) + _read_at_most(opened, 0))
    file = BoundedFile(opened, budget)
    _read_meta(file)
    file.seek(0)
    header: Dataset = read_partial(
        file,  # type: ignore[arg-type]  # it wants read, seek and tell
        _stop_at_pixels(file),
        defer_size=file.longest_value,
        force=True,
        specific_tags=list(read_tags()),
    )
    if getattr(header, "file_meta", None) is None:
        header.file_meta = FileMetaDataset()
    if not header.file_meta.get("TransferSyntaxUID"):
        is_implicit, is_little_endian = header.original_encoding
        if not is_little_endian:
            header.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        else:
            header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    return header, file


def _read_meta(file: BoundedFile) -> "Dataset":
    """Return the file meta information, before which a preamble may stand."""
    from pydicom.filereader import read_dataset

    file.seek(0)
    file.seek(132 if has_preamble(file.read(132)) else 0)
    notes = TagNotes(file, META_TAGS)

    def is_behind(tag: int, vr: str | None, length: int) -> bool:
        notes.note(tag)
        return tag >> 16 != 2

    return read_dataset(
        file,  # type: ignore[arg-type]  # it wants read, seek and tell
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=is_behind,
    )


def _stop_at_pixels(file: BoundedFile) -> Callable[[int, str | None, int], bool]:
    """Return what ends the reading of a data set before its pixels, and refuses an element that comes twice."""
    notes = TagNotes(file, read_tags())

    def is_pixels(tag: int, vr: str | None, length: int) -> bool:
        notes.note(tag)
        return tag in PIXEL_TAGS

    return is_pixels


def _read_at_most(opened: BinaryIO, start: int) -> bytes:
    """Read a file from a place to its end: one that has to be in memory as a whole."""
    opened.seek(start)
    data = opened.read(MAX_INFLATED_BYTES + 1)
    if len(data) > MAX_INFLATED_BYTES:
        raise DicomError(f"DICOM file of an unusual form is larger than {MAX_INFLATED_BYTES >> 20} MiB: refused")
    return data


def _parse_deflated(opened: BinaryIO, budget: ReadBudget) -> tuple["Dataset", BoundedFile]:
    """Parse a file whose data set is deflated (PS3.5 A.5), inflating no more than the bound."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset

    meta = _read_meta(BoundedFile(opened, budget))
    if str(meta.get("TransferSyntaxUID") or "") != DEFLATED:
        raise DicomError("DICOM file is damaged: its transfer syntax is not where it should be")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    deflated = _read_at_most(opened, opened.tell())
    # One byte more than the budget's bound, so that it is the budget that refuses.
    inflated = inflater.decompress(deflated, min(MAX_INFLATED_BYTES, budget.bound_inflated(len(deflated)) + 1))
    budget.take_inflated(len(inflated), len(deflated))
    if inflater.unconsumed_tail:
        raise DicomError(f"deflated DICOM file is larger than {MAX_INFLATED_BYTES >> 20} MiB when inflated: refused")
    if not inflater.eof:
        raise DicomError("DICOM file is damaged or truncated: its deflated part ends too early")
    file = BoundedFile(io.BytesIO(inflated), budget)
    header = read_dataset(
        file,  # type: ignore[arg-type]
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=_stop_at_pixels(file),
        defer_size=file.longest_value,
        specific_tags=list(read_tags()),
    )
    header.file_meta = FileMetaDataset(meta)
    return header, file


class _Parser:
    """Parses the elements that are read, in sequences too; its bounds are for all of one file."""

    def __init__(self, file: BoundedFile) -> None:
        self._file = file
        self._tables = 0

    def parse(self, header: "Dataset") -> None:
        """Parse a data set; raise DicomError beyond the bounds, or if an element is not what it should be."""
        for tag in META_TAGS & header.file_meta.keys():
            self._parse_element(header.file_meta, tag)
        pending = [(header, 0, read_tags() - PIXEL_TAGS)]
        while pending:
            dataset, depth, wanted = pending.pop()
            if depth > MAX_DEPTH:
                raise DicomError(f"DICOM file has sequences more than {MAX_DEPTH} levels deep: refused")
            if depth:
                refuse_repeated(dataset)
            for tag in sorted(wanted & dataset.keys()):
                pending += [(item, depth + 1, item_tags()) for item in self._parse_any(dataset, tag)]

    def _parse_any(self, dataset: "Dataset", tag: int) -> list["Dataset"]:
        """Parse one element as strictly as it matters and return the items of a sequence."""
        if tag in optional_tags():
            if not self._parse_optional(dataset, tag):
                del dataset[tag]
            return []
        return self._parse_later(dataset, tag) if tag in later_tags() else self._parse_element(dataset, tag)

    def _parse_optional(self, dataset: "Dataset", tag: int) -> bool:
        """Parse an element that may be malformed; return whether it is text of a length that is read."""
        raw: Any = dataset.get_item(tag, keep_deferred=True)
        if raw.VR == "SQ" or is_left_out(raw) or len(raw.value or b"") > MAX_VALUE_BYTES:
            return False
        try:
            self._parse_element(dataset, tag)
        except DicomError:  # beyond the bounds of the file
            raise
        except Exception:  # pydicom raises more kinds than it documents
            return False
        return not isinstance(dataset[tag].value, bytes)

    def _parse_later(self, dataset: "Dataset", tag: Any) -> list["Dataset"]:
        """Parse an element that may be malformed as long as nobody needs it; raise DicomError beyond the bounds."""
        from pydicom import DataElement

        try:
            return self._parse_element(dataset, tag)
        except DicomError:
            raise
        except Exception:  # pydicom raises more kinds than it documents, of our bounds too
            self._file.charge_work(0)
            if tag in dataset and getattr(dataset.get_item(tag), "VR", None) in ("SQ", "UN", None):
                dataset[tag] = DataElement(tag, "LT", "malformed")  # or it would be parsed again, without bounds
            return []

    def _parse_element(self, dataset: "Dataset", tag: Any) -> list["Dataset"]:
        """Parse one element and return the items of a sequence."""
        from pydicom.datadict import dictionary_VR

        raw, defined = dataset.get_item(tag, keep_deferred=True), dictionary_VR(tag)
        if is_left_out(raw):
            raise refuse_value()
        vr, value = getattr(raw, "VR", None), getattr(raw, "value", None)
        if isinstance(value, bytes) and (defined if vr in (None, "UN") else vr) == "SQ":
            self._read_items(dataset, raw)
        elif isinstance(value, bytes):
            self._charge(tag, vr, len(value))
        element = dataset[tag]
        items = element.value if element.VR == "SQ" else []
        if defined == "SQ" and element.VR != "SQ" and tag not in later_tags():  # readers will ask its items
            raise DicomError("DICOM file is damaged: an element that is a sequence holds something else")
        return list(items or [])

    def _charge(self, tag: int, vr: str | None, size: int) -> None:
        is_table = tag == LUT_DATA and vr in TABLE_VR
        longest = MAX_TABLE_BYTES if is_table else MAX_VALUE_BYTES
        if size > longest:
            raise DicomError(f"DICOM file has an element longer than {longest >> 10} KiB: refused")
        self._file.charge_work(size // (TABLE_BYTES_PER_READ if is_table else VALUE_BYTES_PER_READ))
        self._tables += size if is_table else 0
        if self._tables > MAX_TABLES_BYTES:
            raise DicomError(f"DICOM file has more than {MAX_TABLES_BYTES >> 20} MiB of look-up tables: refused")

    def _read_items(self, dataset: "Dataset", raw: Any) -> None:
        """Read the items of a sequence of stated length, which pydicom would do without bounds."""
        from pydicom import DataElement
        from pydicom.filereader import read_sequence

        encoding = dataset.original_character_set or "iso8859"
        items = read_sequence(
            self._file.open_value(raw.value),  # type: ignore[arg-type]
            raw.is_implicit_VR,
            raw.is_little_endian,
            len(raw.value),
            encoding,
        )  # places of its items count from the value's start, as those of their elements do
        dataset[raw.tag] = DataElement(raw.tag, "SQ", items, raw.value_tell)


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
