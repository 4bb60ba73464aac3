"""An open file that may be asked for so much and no more: what a parser does with it is bounded by what it reads.

pydicom's parser reads two or three times for each element, however small, and once for each value: a bound on the
reads bounds its time, a bound on their bytes its memory, whatever the file holds. What it skips costs nothing.
"""

import io
from typing import Any, BinaryIO

from ..errors import DicomError

MAX_READS = 150_000  # a header of a radiograph takes some hundreds; a microsecond or five each
READS_PER_FILE = 1000  # added for each further file of one run
MAX_READ_BYTES = 1 << 26  # of everything before the pixels that is read, not skipped
MAX_VALUE_BYTES = 1 << 23  # of one value: the records of a medium
MAX_CHARACTER_SET_BYTES = 128
DEFLATED_TO = 16  # what a compressed byte explains when it is inflated; radiographs take 2 to 10
MAX_UNEXPLAINED_BYTES = 1 << 28  # inflated beyond that, of files that share a budget
UNEXPLAINED_PER_FILE = 1 << 20  # added for each further file of one run
CHARACTER_SET_TAGS = (b"\x08\x00\x05\x00", b"\x00\x08\x00\x05")  # SpecificCharacterSet in either byte order
LONG_LENGTH_BYTES = 4
ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
READS_OF_ITEM = 3  # what a data set of its own costs beside its elements


class ReadBudget:
    """How many reads are left for files that are parsed one after another: hostile ones share what one may cost."""

    def __init__(self) -> None:
        """Begin with what one file may take."""
        self._left = MAX_READS
        self._unexplained = MAX_UNEXPLAINED_BYTES

    def add_file(self) -> None:
        """Make room for another file, so that it can be read whatever others took."""
        self._left = min(MAX_READS, self._left + READS_PER_FILE)
        self._unexplained = min(MAX_UNEXPLAINED_BYTES, self._unexplained + UNEXPLAINED_PER_FILE)

    def take(self, reads: int) -> None:
        """Count reads, or work that is worth so many; raise DicomError if none are left."""
        self._left -= reads
        if self._left < 0:
            raise DicomError("DICOM file has more elements or values than are read of a study: refused")

    def bound_inflated(self, compressed: int) -> int:
        """Return how many bytes so many compressed ones may become."""
        return DEFLATED_TO * compressed + self._unexplained

    def take_inflated(self, inflated: int, compressed: int) -> None:
        """Count what was inflated, or is to be; raise DicomError if it is far more than its bytes explain."""
        self._unexplained -= max(0, inflated - DEFLATED_TO * compressed)
        if self._unexplained < 0:
            self._unexplained = 0
            raise DicomError("compressed files become far larger than radiographs do when inflated: refused")


class BoundedFile:
    """What pydicom needs of a file: `read`, `seek` and `tell`, the first within bounds (DicomError beyond them)."""

    def __init__(self, opened: BinaryIO, budget: ReadBudget) -> None:
        """Wrap an open file, which is not closed here."""
        self._opened = opened
        self._budget = budget
        self._bytes, self._value_bytes = MAX_READ_BYTES, MAX_VALUE_BYTES
        self._is_character_set = False
        self.seek, self.tell = opened.seek, opened.tell  # bound methods: no call of ours in between

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, or fewer at the end of the file."""
        self._budget.take(1)
        if self._is_character_set:  # parsed at once, and each of its values is looked up and warned of
            self._budget.take(size)
            if size > MAX_CHARACTER_SET_BYTES:
                raise DicomError("DICOM file names more character sets than there are: refused")
        if not 0 <= size <= self._value_bytes:
            raise refuse_value(self._value_bytes)
        data = self._opened.read(size)
        self._bytes -= len(data)
        if self._bytes < 0:
            raise DicomError(f"DICOM file has a header longer than {MAX_READ_BYTES >> 20} MiB: refused")
        # Of some kinds of element four bytes of length stand between its head and its value.
        is_length = self._is_character_set and size == LONG_LENGTH_BYTES
        self._is_character_set = is_length or size == 8 and data.startswith(CHARACTER_SET_TAGS)
        if size == 8 and data.startswith(ITEM_TAGS):
            self._budget.take(READS_OF_ITEM)
        return data

    @property
    def longest_value(self) -> int:
        """The bytes of the longest value that may be read."""
        return self._value_bytes

    def open_value(self, value: bytes) -> "BoundedFile":
        """Return a value as a file of its own that is charged to the same budget."""
        return BoundedFile(io.BytesIO(value), self._budget)

    def charge_work(self, reads: int) -> None:
        """Count work that is worth so many reads; raise DicomError if none are left."""
        self._budget.take(reads)

    def allow_value(self, count: int) -> None:
        """Let one value of so many bytes be read from here on: the pixels."""
        self._value_bytes, self._bytes = count, 2 * count  # it is looked for its end, then read


def refuse_value(longest: int = MAX_VALUE_BYTES) -> DicomError:
    """Return what is raised for a value longer than so many bytes."""
    return DicomError(f"DICOM file has an element longer than {longest >> 20} MiB: refused")


def is_left_out(element: Any) -> bool:
    """True if a raw element's value was too long to be read."""
    return element.value is None and getattr(element, "length", 0) > 0
