"""From stored DICOM values to grey pixels: a named, versioned profile, kept in the manifest.

How stored values become grey is where training and use drift apart most quietly, so it has a name,
and an engine refuses a study that was read with another one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import DicomError, EngineError
from .luts import WHITE, DisplayPipeline

PUBLISHED = "published-v1"
MIMIC_JPG = "mimic-jpg-v1"
VOI = "voi-v1"
MINMAX = "minmax-v1"
AS_STORED = "as-stored"  # JPEG, PNG and 8-bit arrays, taken as they are
# By profile: what those become. A model whose training stretched every picture must have these stretched, too.
PICTURES = {PUBLISHED: AS_STORED, MIMIC_JPG: AS_STORED, VOI: AS_STORED, MINMAX: MINMAX}
PROFILES = tuple(PICTURES)
HALF = "+half"  # behind a profile or mode: JPEG 2000 is read without its finest details
HALVED = (PUBLISHED,)  # what that moves is measured for (docs/dicom.md)
BLOCK_VALUES = 1 << 20  # looked up at a time: numpy widens indices to 64 bits

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class GreyOptions:
    """How the pixels of a DICOM image become grey.

    window: which of the image's windows voi-v1 takes (1 is the first); None takes its VOI LUT, else the first.
    allow_for_processing: read raw detector data, too, which does not look like what models were trained on.
    """

    profile: str = PUBLISHED
    window: int | None = None
    allow_for_processing: bool = False


def check_profile(profile: str) -> str:
    """Return the profile's name; raise EngineError if this version does not know it."""
    if profile not in PROFILES:
        raise EngineError(f"intensity profile is not supported; this version has: {', '.join(PROFILES)}")
    return profile


def halve_profile(profile: str) -> str:
    """Return the name of a profile that reads JPEG 2000 without its finest details; EngineError if there is none."""
    if check_profile(profile) not in HALVED:
        raise EngineError(f"reduced decoding is not measured for intensity profile {profile}: read it whole")
    return profile + HALF


def split_profile(profile: str) -> tuple[str, bool]:
    """Return the profile that a study is read with, and whether without the finest details; EngineError if unknown."""
    plain = profile.removesuffix(HALF)
    if plain != profile:
        halve_profile(plain)
    return check_profile(plain), plain != profile


def name_picture_profile(profile: str) -> str:
    """Return what 8-bit pictures read with a profile are called: the profile if it stretches them, else "as-stored"."""
    return PICTURES[split_profile(profile)[0]]


def scale_intensity(
    stored: NDArray[Any], *, is_monochrome1: bool, profile: str, display: DisplayPipeline | None = None
) -> Grey:
    """Turn decoded pixel values into grey levels.

    stored: (height, width) or (height, width, 3), 8- or 16-bit integers, as decoded from the file.
    is_monochrome1: low values are shown bright (DICOM PS3.3 C.7.6.3.1.2), so the result is inverted.
    display: what the header says for voi-v1; None is a header that says nothing.
    Returns uint8 of the same shape, bright is dense tissue; mimic-jpg-v1 gives (height, width) for colour, too.
    Raises DicomError if the image is empty, EngineError for an unknown profile.
    Source of published-v1: `pixel_array * 255/max` of the published DICOM path, computed in float32 as
    OpenCV does it, rounded half to even, absolute value saturated to 8 bits. Of mimic-jpg-v1: the
    description of MIMIC-CXR-JPG (Johnson et al., arXiv 1901.07042), without its JPEG compression. Of voi-v1:
    PS3.4 annex N.2. Of minmax-v1: the published preprocessing of BioViL, which inverts nothing.
    """
    check_profile(profile)
    if profile == PUBLISHED:
        return _published(stored, is_monochrome1)
    if profile == MIMIC_JPG:
        return _mimic_jpg(stored, is_monochrome1)
    if profile == MINMAX:
        return _minmax(stored, is_monochrome1)
    return _voi(stored, display or DisplayPipeline(is_inverted=is_monochrome1))


def _published(stored: NDArray[Any], is_monochrome1: bool) -> Grey:
    maximum = float(stored.max())
    if maximum <= 0:
        raise DicomError("radiograph is empty: no pixel value is above 0")

    def to_grey(values: NDArray[np.int64]) -> NDArray[Any]:
        grey = np.clip(np.rint(np.abs(values.astype(np.float32) * np.float32(255.0 / maximum))), 0, 255)
        return np.asarray(255 - grey if is_monochrome1 else grey)

    return _map_values(stored, to_grey)


def _mimic_jpg(stored: NDArray[Any], is_monochrome1: bool) -> Grey:
    low, high = _span(stored)

    def to_grey(values: NDArray[np.int64]) -> NDArray[Any]:
        grey = np.floor((values - low) / (high - low) * WHITE)  # truncated, not rounded
        return WHITE - grey if is_monochrome1 else grey

    grey = _map_values(stored, to_grey)
    return equalise_histogram(np.asarray(Image.fromarray(grey).convert("L")) if grey.ndim == 3 else grey)


def _minmax(stored: NDArray[Any], is_monochrome1: bool) -> Grey:
    low, high = _span(stored)

    def to_grey(values: NDArray[np.int64]) -> NDArray[Any]:
        above = high - values if is_monochrome1 else values - low  # inverted first, then truncated
        return np.floor(above / (high - low) * WHITE)

    return _map_values(stored, to_grey)


def _span(stored: NDArray[Any]) -> tuple[int, int]:
    """Return the smallest and the largest value, which differ."""
    low, high = int(stored.min()), int(stored.max())
    if low == high:
        raise DicomError("radiograph is empty: all of its pixels have one value")
    return low, high


def _voi(stored: NDArray[Any], display: DisplayPipeline) -> Grey:
    if stored.ndim == 3:  # colour is shown as it is: the grey-scale pipeline is not defined for it
        return stored.astype(np.uint8) if stored.dtype.itemsize == 1 else _published(stored, is_monochrome1=False)
    is_present = np.zeros(int(stored.max()) - int(stored.min()) + 1, dtype=bool)
    for block in _blocks(stored.ravel()):
        is_present[block.astype(np.int64) - int(stored.min())] = True
    return _map_values(stored, lambda values: np.rint(display.to_grey(values, is_present)))


def equalise_histogram(grey: Grey) -> Grey:
    """Spread grey levels so that each is about equally frequent.

    grey: (height, width) uint8; one grey value throughout stays as it is.
    Source: OpenCV's equalizeHist, to the last bit.
    """
    counts = np.sum([np.bincount(block, minlength=256) for block in _blocks(grey.ravel())], axis=0)
    first = int(np.flatnonzero(counts)[0])
    rest = int(grey.size - counts[first])
    if rest == 0:
        return grey
    above = np.cumsum(counts) - counts[: first + 1].sum()
    levels = np.rint(np.maximum(above, 0).astype(np.float32) * (np.float32(255.0) / np.float32(rest)))
    return _look_up(np.clip(levels, 0, 255).astype(np.uint8), grey, low=0)


def _map_values(stored: NDArray[Any], to_grey: Callable[[NDArray[np.int64]], NDArray[Any]]) -> Grey:
    """Compute the grey level of each value from minimum to maximum, and look every pixel up."""
    low, high = int(stored.min()), int(stored.max())
    if high - low >= 1 << 16:
        raise DicomError("pixel values span more than 16 bits: not a radiograph")
    return _look_up(to_grey(np.arange(low, high + 1)).astype(np.uint8), stored, low)


def _look_up(levels: Grey, values: NDArray[Any], low: int) -> Grey:
    flat = np.ascontiguousarray(values).ravel()
    grey = np.empty(flat.shape, dtype=np.uint8)
    for block, out in zip(_blocks(flat), _blocks(grey), strict=True):
        np.take(levels, block.astype(np.int64) - low, out=out)
    return grey.reshape(values.shape)


def _blocks(flat: NDArray[Any]) -> list[NDArray[Any]]:
    return [flat[start : start + BLOCK_VALUES] for start in range(0, flat.size, BLOCK_VALUES)]
