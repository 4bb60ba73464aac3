"""Elements that come twice in one data set, as in two files in one: pydicom keeps the last and says nothing.

Which of the two was meant nobody can tell, and programs differ in it: so a file is refused in which an element that
is read came twice. Tags are noted while they are read, since the data set that results has each of them once.
"""

from typing import TYPE_CHECKING, Any

from ..errors import DicomError
from .bounded_file import BoundedFile

if TYPE_CHECKING:
    from pydicom import Dataset

TWICE = "DICOM file holds an element twice: it is damaged, or two files in one"
LONG_VR = frozenset("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # two bytes and a length of four (PS3.5 7.1.2)
SHORT_HEAD, LONG_HEAD = 8, 12
UNDEFINED_LENGTH = 0xFFFFFFFF


class TagNotes:
    """Notes the tags of a data set in the order of its file, as `stop_when` of pydicom's readers."""

    def __init__(self, file: BoundedFile, wanted: frozenset[int]) -> None:
        """Look for those that are wanted."""
        self._tell = file.tell
        self._wanted = wanted
        self._places: dict[int, int] = {}

    def note(self, tag: int) -> None:
        """Note an element whose head has been read; raise DicomError if it came before.

        pydicom shows the first one twice, before its whole head has been read.
        """
        if tag in self._wanted:
            place = self._tell()
            if place - self._places.setdefault(tag, place) >= SHORT_HEAD:
                raise DicomError(TWICE)


def refuse_repeated(item: "Dataset") -> None:
    """Refuse an item of a sequence in which an element came twice: the first left a gap. Raises DicomError.

    item: as it was read, none of its elements parsed.
    """
    is_implicit, _ = item.original_encoding
    end: int | None = getattr(item, "seq_item_tell", None)
    end, last = None if end is None else end + SHORT_HEAD, 0
    for tag in item.keys():
        element: Any = item.get_item(tag, keep_deferred=True)
        place = getattr(element, "value_tell", None) or getattr(element, "file_tell", None) or 0
        start = place - (LONG_HEAD if not is_implicit and element.VR in LONG_VR else SHORT_HEAD)
        if start < last or end is not None and start > end:
            raise DicomError(TWICE)
        last, length = start, getattr(element, "length", UNDEFINED_LENGTH)
        end = None if length == UNDEFINED_LENGTH else max(end or 0, place + length)
