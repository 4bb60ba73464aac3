"""Look-up tables and windows of DICOM headers: from stored values to what a viewer shows.

Own code where pydicom has functions: those wrap 8-bit VOI LUTs of more than 256 entries, refuse
modality LUTs of 12 bits, and work on whole images. Here everything is computed for each possible
stored value, at most 65,536, and the image is looked up once.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError
from .stated import Stated

if TYPE_CHECKING:
    from pydicom import Dataset

Values = NDArray[np.float64]
MAX_LUT_ENTRIES = 1 << 16
WHITE = 255.0


@dataclass(frozen=True, eq=False)
class Lut:
    """A table (PS3.3 C.11.1.1.1). first: the value that maps to entries[0]. bits: of an entry."""

    first: int
    bits: int
    entries: NDArray[np.uint16]

    def apply(self, values: Values) -> Values:
        """Map values; those below and above the table take its first and last entry."""
        places = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.int64)
        return np.asarray(self.entries[places], dtype=np.float64)


@dataclass(frozen=True)
class Window:
    """A window (PS3.3 C.11.2.1.2 and C.11.2.1.3): center, width, and VOI LUT Function."""

    center: float
    width: float
    function: str = "LINEAR"

    def __post_init__(self) -> None:
        """Refuse an unknown function, and a width that it does not allow (DicomError)."""
        if self.function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            raise DicomError("VOI LUT function is unknown: LINEAR, LINEAR_EXACT and SIGMOID are defined")
        if not (np.isfinite(self.center) and np.isfinite(self.width)):
            raise DicomError("window centre or width is not a finite number: the file is damaged")
        if self.width < 1 if self.function == "LINEAR" else self.width <= 0:
            raise DicomError("window width is less than 1: no grey levels are defined for it")

    def apply(self, values: Values) -> Values:
        """Map values to 0 (black) to 255 (white)."""
        if self.function == "SIGMOID":
            exponent = np.clip(-4 * (values - self.center) / self.width, -700, 700)
            return WHITE / (1 + np.exp(exponent))
        shrink = 1.0 if self.function == "LINEAR" else 0.0
        center, width = self.center - shrink / 2, self.width - shrink
        if width == 0:  # of width 1: a threshold
            return np.where(values > center, WHITE, 0.0)
        return np.clip((values - center) / width + 0.5, 0, 1) * WHITE


@dataclass(frozen=True, eq=False)
class DisplayPipeline:
    """The grey-scale pipeline of one image: modality LUT or rescale, VOI LUT or window, inversion.

    slope, intercept: used if there is no modality LUT. is_inverted: by MONOCHROME1 or the presentation LUT.
    padding: lowest and highest stored value that is not image.
    """

    modality: Lut | None = None
    slope: float = 1.0
    intercept: float = 0.0
    voi: Lut | Window | None = None
    is_inverted: bool = False
    padding: tuple[int, int] | None = None

    def to_grey(self, values: NDArray[np.int64], is_present: NDArray[np.bool_]) -> Values:
        """Return the grey level, 0 to 255, of each stored value.

        values: (n,) stored values in rising order. is_present: (n,) which of them the image holds; without
        a VOI LUT or window these span black to white. Padding is black.
        """
        is_padding = np.zeros(values.shape, dtype=bool)
        if self.padding is not None:
            is_padding = (values >= self.padding[0]) & (values <= self.padding[1])
        if self.modality is None:
            shown: Values = values.astype(np.float64) * self.slope + self.intercept
        else:
            shown = self.modality.apply(values.astype(np.float64))
        if self.voi is None:
            grey = _stretch(shown, shown[is_present & ~is_padding])
        elif isinstance(self.voi, Window):
            grey = self.voi.apply(shown)
        else:
            grey = self.voi.apply(shown) * (WHITE / ((1 << self.voi.bits) - 1))
        grey = np.clip(WHITE - grey if self.is_inverted else grey, 0, WHITE)
        return np.where(is_padding, 0.0, grey)


@dataclass(frozen=True, eq=False)
class Display:
    """What a header says of how its image is shown; `choose` makes the pipeline of one window of it.

    voi_lut: its VOI LUT, None without one. windows: centre and width of each. function: of the windows. What only
    some choices use is refused when they are made.
    """

    modality: Lut | None
    slope: float
    intercept: float
    is_inverted: bool
    voi_lut: Stated[Lut | None]
    windows: Stated[tuple[tuple[float, float], ...]]
    function: str
    padding: Stated[tuple[int, int] | None]

    def choose(self, window: int | None) -> DisplayPipeline:
        """Return the grey-scale pipeline with one of the windows (1 is the first); None: the VOI LUT, else the first.

        Raises DicomError for a window that is not there, or a table, window or function that is malformed.
        """
        return DisplayPipeline(
            modality=self.modality,
            slope=self.slope,
            intercept=self.intercept,
            voi=self._choose_voi(window),
            is_inverted=self.is_inverted,
            padding=self.padding.get(),
        )

    def _choose_voi(self, window: int | None) -> Lut | Window | None:
        if window is None and (table := self.voi_lut.get()) is not None:
            return table
        windows = self.windows.get()
        if window is not None and not 1 <= window <= len(windows):
            raise DicomError(f"window {window} is not there: the image has {len(windows)} windows")
        if not windows:
            return None
        return Window(*windows[(window or 1) - 1], self.function)


def read_display(header: "Dataset", *, is_monochrome1: bool, is_signed: bool) -> Display:
    """Read how an image is shown.

    Raises DicomError for a table, function or presentation LUT that the standard does not define.
    """
    if header.get("PresentationLUTSequence"):
        raise DicomError("presentation LUT as a table is not supported: only its shapes IDENTITY and INVERSE are")
    shape = str(header.get("PresentationLUTShape") or "IDENTITY").strip().upper()
    if shape not in ("IDENTITY", "INVERSE"):
        raise DicomError("presentation LUT shape is unknown: IDENTITY and INVERSE are defined")
    slope, intercept = _real(header, "RescaleSlope", 1.0), _real(header, "RescaleIntercept", 0.0)
    if slope == 0:
        raise DicomError("DICOM element RescaleSlope is 0: every pixel would become one value")
    tables = _items(header, "ModalityLUTSequence")
    modality = read_lut(tables[0], is_signed) if tables else None
    lowest = 0 if modality else intercept if slope >= 0 else -1
    maps_signed = not modality and (is_signed or lowest < 0)
    return Display(
        modality=modality,
        slope=slope,
        intercept=intercept,
        # PS3.3 C.8.11.3.1.2 pairs INVERSE with MONOCHROME1: both together are one inversion, not two.
        is_inverted=is_monochrome1 or shape == "INVERSE",
        voi_lut=Stated.read(lambda: _read_voi_lut(header, is_signed=maps_signed)),
        windows=Stated.read(lambda: _read_windows(header)),
        function=str(header.get("VOILUTFunction") or "LINEAR").strip().upper(),
        padding=Stated.read(lambda: _read_padding(header, is_signed)),
    )


def read_lut(item: "Dataset", is_signed: bool) -> Lut:
    """Read one item of a Modality or VOI LUT Sequence; raise DicomError if it is malformed.

    is_signed: the values that it maps may be negative, which the first mapped value then is, too.
    """
    damaged = "look-up table is malformed: its descriptor and its data do not fit; the file is damaged"
    try:
        count, first, bits = (int(number) for number in item.LUTDescriptor)
        data: Any = item.LUTData
        if isinstance(data, bytes):  # OW: in the byte order of the file
            data = np.frombuffer(data, ">u2" if item.original_encoding[1] is False else "<u2")
        entries = np.asarray(data, dtype=np.int64).ravel()
    except Exception as error:  # pydicom raises more kinds than it documents
        raise DicomError(damaged) from error
    count = count or MAX_LUT_ENTRIES
    if bits == 8 and len(entries) * 2 in (count, count + 1):  # two entries of 8 bits in each word
        entries = entries.astype("<u2").view(np.uint8).astype(np.int64)
    first = (first & 0xFFFF) - (0x10000 if is_signed and first & 0x8000 else 0)
    if not (8 <= bits <= 16 and 0 < count <= len(entries) <= MAX_LUT_ENTRIES):
        raise DicomError(damaged)
    entries = entries[:count] & 0xFFFF
    if entries.max() >= 1 << bits:
        raise DicomError(damaged)
    return Lut(first, bits, entries.astype(np.uint16))


def _read_voi_lut(header: "Dataset", *, is_signed: bool) -> Lut | None:
    tables = _items(header, "VOILUTSequence")
    return read_lut(tables[0], is_signed) if tables else None


def _read_windows(header: "Dataset") -> tuple[tuple[float, float], ...]:
    centers, widths = _reals(header, "WindowCenter"), _reals(header, "WindowWidth")
    if len(centers) != len(widths):
        raise DicomError("window centres and widths differ in number: the file is damaged")
    return tuple(zip(centers, widths, strict=True))


def _read_padding(header: "Dataset", is_signed: bool) -> tuple[int, int] | None:
    value, limit = header.get("PixelPaddingValue"), header.get("PixelPaddingRangeLimit")
    if value is None:
        return None
    try:
        ends = [int(end) for end in (value, value if limit is None else limit)]
    except (TypeError, ValueError) as error:
        raise DicomError("pixel padding value is not a number: the file is damaged") from error
    if is_signed:  # some write it unsigned
        ends = [end - 0x10000 if end > 0x7FFF else end for end in ends]
    return min(ends), max(ends)


def _stretch(shown: Values, present: Values) -> Values:
    low, high = (float(present.min()), float(present.max())) if present.size else (0.0, 0.0)
    if high <= low:
        raise DicomError("radiograph is empty: all of its pixels have one value")
    return np.clip((shown - low) / (high - low), 0, 1) * WHITE


def _items(header: "Dataset", keyword: str) -> list["Dataset"]:
    return list(header.get(keyword) or [])


def _reals(header: "Dataset", keyword: str) -> list[float]:
    value: Any = header.get(keyword)
    if value is None or value == "":
        return []
    try:
        return [float(one) for one in ([value] if isinstance(value, str | int | float) else value)]
    except (TypeError, ValueError) as error:
        raise DicomError(f"DICOM element {keyword} is not a number: the file is damaged") from error


def _real(header: "Dataset", keyword: str, default: float) -> float:
    numbers = _reals(header, keyword)
    if len(numbers) > 1 or not np.isfinite(numbers).all():
        raise DicomError(f"DICOM element {keyword} is not one number: the file is damaged")
    return numbers[0] if numbers else default
