"""The pixel data of a file behind its header: as much of it as the first frame needs."""

import contextlib
import os
from typing import TYPE_CHECKING, Any

from .bounded_file import BoundedFile
from .contradictions import MAX_PADDING_BYTES

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_PIXEL_BYTES = 1 << 27  # twice the largest frame
PIXEL_DATA = 0x7FE00010
PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, PIXEL_DATA})  # FloatPixelData and DoubleFloatPixelData, too
UNDEFINED_LENGTH = 0xFFFFFFFF


def read_pixel_element(file: BoundedFile, header: "Dataset") -> None:
    """Add the elements that hold pixels, of whatever kind, to a header; none, if the file ends before.

    file: stands where the header ended. Pixel data of more than twice the largest frame are not kept, but for the
    first frame where they are not compressed (`is_first_frame_alone` tells).
    """
    from pydicom.dataelem import convert_raw_data_element
    from pydicom.filereader import data_element_generator

    file.allow_value(MAX_PIXEL_BYTES)
    is_implicit, is_little_endian = _find_encoding(header)
    elements = data_element_generator(
        file,  # type: ignore[arg-type]  # it wants read, seek and tell
        is_implicit,
        is_little_endian,
        defer_size=MAX_PIXEL_BYTES,
    )
    with contextlib.suppress(EOFError):  # without its end it is not there
        element: Any
        for element in elements:
            if element.tag not in PIXEL_TAGS:
                return
            convert_raw_data_element(element)  # of a kind that pydicom does not know, it raises here
            header[element.tag] = element
            if element.tag == PIXEL_DATA:
                if element.value is None and element.length:
                    header[element.tag] = _keep_first_frame(file, header, element)
                return


def is_first_frame_alone(header: "Dataset") -> bool:
    """True if of the pixel data no more than the first frame was kept; to be asked before they are looked at."""
    raw: Any = header.get_item(PIXEL_DATA) if PIXEL_DATA in header else None
    return MAX_PIXEL_BYTES < getattr(raw, "length", 0) < UNDEFINED_LENGTH and bool(raw.value)


def _keep_first_frame(file: BoundedFile, header: "Dataset", element: Any) -> Any:
    """Return the element with the first frame and what stands behind all, where frames are whole, else with nothing."""
    frame = 1
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated"):
        value = header.get(keyword)
        frame *= value if isinstance(value, int) else 0
    frame //= 8
    needed = frame * int(str(header.get("NumberOfFrames") or "").strip() or 1)
    is_whole = file.seek(0, os.SEEK_END) - element.value_tell >= element.length >= needed
    padding = element.length - needed
    if element.length == UNDEFINED_LENGTH or not 0 < frame <= MAX_PIXEL_BYTES or not is_whole:
        return element._replace(value=b"")
    file.seek(element.value_tell)
    first = file.read(frame)
    file.seek(element.value_tell + needed)
    return element._replace(value=first + file.read(min(padding, MAX_PADDING_BYTES + 2)))


def _find_encoding(header: "Dataset") -> tuple[bool, bool]:
    """Tell how the elements were read: (without VR, in little endian); the transfer syntax may say otherwise."""
    for tag in header.keys():
        raw: Any = header.get_item(tag, keep_deferred=True)
        if hasattr(raw, "is_implicit_VR"):
            return raw.is_implicit_VR, raw.is_little_endian
    is_implicit, is_little_endian = header.original_encoding
    return bool(is_implicit), is_little_endian is not False
