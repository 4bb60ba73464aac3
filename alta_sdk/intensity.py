"""From stored DICOM values to grey pixels: a named, versioned profile, kept in the manifest.

How stored values become grey is where training and use drift apart most quietly, so it has a name,
and an engine refuses a study that was read with another one.
"""

import numpy as np
from numpy.typing import NDArray

from .errors import DicomError, EngineError

PUBLISHED = "published-v1"
AS_STORED = "as-stored"  # JPEG, PNG and 8-bit arrays, taken as they are
PROFILES = (PUBLISHED,)


def check_profile(profile: str) -> str:
    """Return the profile's name; raise EngineError if this version does not know it."""
    if profile not in PROFILES:
        raise EngineError(f"intensity profile is not supported; this version has: {', '.join(PROFILES)}")
    return profile


def scale_intensity(stored: NDArray[np.generic], *, is_monochrome1: bool, profile: str) -> NDArray[np.uint8]:
    """Turn decoded pixel values into grey levels.

    stored: (height, width) or (height, width, 3), any integer type, as decoded from the file.
    is_monochrome1: low values are shown bright (DICOM PS3.3 C.7.6.3.1.2), so the result is inverted.
    Returns uint8 of the same shape, bright is dense tissue.
    Raises DicomError if no value is above 0, EngineError for an unknown profile.
    Source of published-v1: `pixel_array * 255/max` of the published DICOM path, computed in float32 as
    OpenCV does it, rounded half to even, absolute value saturated to 8 bits.
    """
    check_profile(profile)
    maximum = float(stored.max())
    if maximum <= 0:
        raise DicomError("radiograph is empty: no pixel value is above 0")
    scaled = stored.astype(np.float32) * np.float32(255.0 / maximum)
    grey = np.clip(np.rint(np.abs(scaled)), 0, 255).astype(np.uint8)
    return np.asarray(255 - grey if is_monochrome1 else grey, dtype=np.uint8)
