"""Read DICOM files and decode the pixels of one radiograph.

pydicom is imported on use (0.3 s). Its exceptions and warnings quote header values, which may be
patient data, so none of them leaves this module.
"""

import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import DicomError
from .intensity import scale_intensity

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_DECODED_BYTES = 1 << 30  # 1 GiB: ten times the largest detectors in use
GREYSCALE = frozenset({"MONOCHROME1", "MONOCHROME2"})
COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})

logging.getLogger("pydicom").propagate = False
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")


def is_dicom(data: bytes) -> bool:
    """True if the bytes open with the DICOM preamble (PS3.10 section 7.1)."""
    return data[128:132] == b"DICM"


def read_header(data: bytes) -> "Dataset":
    """Parse a DICOM file.

    Raises DicomError if it is not DICOM or ends too early.
    """
    import pydicom

    if not is_dicom(data):
        raise DicomError("not a DICOM file: the DICM mark is missing; give a DICOM, JPEG or PNG radiograph")
    try:
        header = pydicom.dcmread(io.BytesIO(data))
        for element in header:  # elements are parsed on access: do it here, not in the middle of a score
            _ = element.value
    except Exception as error:  # pydicom raises more kinds than it documents
        raise DicomError("DICOM file is damaged or truncated: its header cannot be read to the end") from error
    # pydicom ends silently at a premature end of file, with the elements before it or none at all.
    kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    if "Rows" not in header and (kind is None or "Image Storage" in kind.name):
        raise DicomError("DICOM image file is damaged or truncated: its image elements are missing; send it again")
    return header


def has_image(header: "Dataset") -> bool:
    """True if the object describes an image (structured reports and presentation states do not)."""
    return "Rows" in header or "PixelData" in header


def decode_grey(header: "Dataset", profile: str) -> NDArray[np.uint8]:
    """Decode the pixels of a single-frame image and bring them to grey levels.

    Returns (height, width) uint8, or (height, width, 3) for a colour capture; bright is dense tissue.
    Raises DicomError if there are no pixels, or more than this reads, or they cannot be decoded.
    """
    if not any(keyword in header for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise DicomError("DICOM file holds no pixel data: it is truncated or not an image object; send the image again")
    photometric = _check_layout(header)
    stored = _decode(header)
    return scale_intensity(stored, is_monochrome1=photometric == "MONOCHROME1", profile=profile)


def _check_layout(header: "Dataset") -> str:
    photometric = str(header.get("PhotometricInterpretation") or "").strip()
    samples = _positive(header, "SamplesPerPixel", 1)
    if not (samples == 1 and photometric in GREYSCALE or samples == 3 and photometric in COLOUR):
        raise DicomError("photometric interpretation is not supported: MONOCHROME1, MONOCHROME2, RGB or YBR are")
    if "PixelData" not in header:
        raise DicomError("floating-point pixel data is not a radiograph: give the stored integer image")
    frames = _positive(header, "NumberOfFrames", 1)
    if frames > 1:
        raise DicomError(f"image has {frames} frames: give a single-frame radiograph")
    size = _positive(header, "Rows") * _positive(header, "Columns") * samples
    if size * max(1, _positive(header, "BitsAllocated") // 8) > MAX_DECODED_BYTES:
        raise DicomError(f"image is larger than {MAX_DECODED_BYTES >> 20} MiB when decoded: refused")
    return photometric


def _positive(header: "Dataset", keyword: str, default: int = 0) -> int:
    value: Any = header.get(keyword)
    try:
        number = default if value is None else int(value)
    except (TypeError, ValueError) as error:
        raise DicomError(f"DICOM element {keyword} is not a number: the file is damaged") from error
    if number < 1:
        raise DicomError(f"DICOM element {keyword} is missing or not positive: the file is damaged")
    return number


def _decode(header: "Dataset") -> NDArray[np.generic]:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array

    syntax = header.file_meta.get("TransferSyntaxUID")
    try:
        decoder = get_decoder(syntax) if syntax is not None and syntax.is_compressed else None
    except NotImplementedError as error:
        raise DicomError("transfer syntax is not one that pydicom decodes: convert the file") from error
    if decoder is not None and not decoder.is_available:
        raise DicomError(f"no decoder is installed for {syntax.name}: pip install 'alta-sdk[gdcm]'")
    try:
        stored: NDArray[np.generic] = pixel_array(header)
    except Exception as error:  # each decoder plug-in raises its own kinds
        raise DicomError("pixel data cannot be decoded: the file is damaged or truncated") from error
    return stored
