"""What a header says of the pixels of an image: the Image Pixel module (PS3.3 C.7.6.3), checked."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DicomError

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_FRAME_SAMPLES = 1 << 25  # 32 Mi: twice the largest detectors in use
MAX_DECODED_BYTES = 1 << 30  # of all frames
GREYSCALE = frozenset({"MONOCHROME1", "MONOCHROME2"})
COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})


@dataclass(frozen=True)
class PixelLayout:
    """The Image Pixel module (PS3.3 C.7.6.3), checked."""

    rows: int
    columns: int
    samples: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    photometric: str
    planar: int

    @property
    def is_monochrome1(self) -> bool:
        """True if the lowest value is shown white."""
        return self.photometric == "MONOCHROME1"


def read_layout(header: "Dataset") -> PixelLayout:
    """Read what the header says of the pixels.

    Raises DicomError for what is not a radiograph (palette, floating point, bits other than 8 to 16), for
    elements that contradict each other, and for more pixels than the bounds.
    """
    photometric = str(header.get("PhotometricInterpretation") or "").strip()
    samples = _number(header, "SamplesPerPixel", 1)
    if not (samples == 1 and photometric in GREYSCALE or samples == 3 and photometric in COLOUR):
        raise DicomError("photometric interpretation is not supported: MONOCHROME1, MONOCHROME2, RGB or YBR are")
    if "PixelData" not in header:
        raise DicomError("floating-point pixel data is not a radiograph: give the stored integer image")
    stored = _number(header, "BitsStored")
    layout = PixelLayout(
        rows=_number(header, "Rows"),
        columns=_number(header, "Columns"),
        samples=samples,
        frames=_number(header, "NumberOfFrames", 1, least=0) or 1,  # some write 0 for a single one
        bits_allocated=_number(header, "BitsAllocated"),
        bits_stored=stored,
        high_bit=_number(header, "HighBit", stored - 1, least=0),
        is_signed=_number(header, "PixelRepresentation", least=0) == 1,
        photometric=photometric,
        planar=_number(header, "PlanarConfiguration", 0, least=0),
    )
    _check_layout(layout)
    return layout


def _check_layout(layout: PixelLayout) -> None:
    if layout.bits_allocated not in (8, 16):
        raise DicomError(f"image has {layout.bits_allocated} bits allocated a sample: a radiograph has 8 or 16")
    if not (layout.bits_stored - 1 <= layout.high_bit < layout.bits_allocated):
        raise DicomError("DICOM elements BitsStored, HighBit and BitsAllocated contradict each other: refused")
    samples = layout.rows * layout.columns * layout.samples
    if samples > MAX_FRAME_SAMPLES or samples * layout.frames * layout.bits_allocated // 8 > MAX_DECODED_BYTES:
        raise DicomError(
            f"image is larger than {MAX_FRAME_SAMPLES >> 20} Mi samples a frame or {MAX_DECODED_BYTES >> 20} MiB "
            "when decoded: refused"
        )


def _number(header: "Dataset", keyword: str, default: int | None = None, *, least: int = 1) -> int:
    value: Any = header.get(keyword)
    is_stated = value is not None and not (isinstance(value, str) and not value.strip())
    try:
        number = int(value) if is_stated else default
    except (TypeError, ValueError, OverflowError) as error:
        raise DicomError(f"DICOM element {keyword} is not a number: the file is damaged") from error
    if number is None or number < least:
        raise DicomError(f"DICOM element {keyword} is missing or too small: the file is damaged")
    return number
