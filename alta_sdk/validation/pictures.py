"""What a radiograph is like as a picture, in a few numbers: they move when a device, a window or an export changes."""

from ..study.plausibility import measure_contrast, measure_fits, measure_smoothness
from ..study.slots import Slot
from ..study.study import Study

MEASURES = ("brightness", "contrast", "smoothness", "likeness to a chest", "shorter side in pixels")


def measure_picture(study: Study) -> dict[str, float]:
    """Return the measures of a study's frontal radiograph, as the model sees it, by name.

    brightness: the mean grey level. contrast: grey levels between the 1st and the 99th percentile. smoothness:
    correlation of neighbouring pixels. likeness: rank correlation with the mean frontal radiograph.
    """
    radiograph = study.radiographs[Slot.FRONTAL]
    pixels = radiograph.pixels_u8
    found = (
        pixels.mean(),
        measure_contrast(pixels),
        measure_smoothness(pixels),
        measure_fits(pixels)[0],
        min(radiograph.grey_u8.shape[:2]),
    )
    return {name: float(value) for name, value in zip(MEASURES, found, strict=True)}
