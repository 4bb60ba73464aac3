"""Could this picture be an upright chest radiograph? Cheap checks of its pixels, each of one statistic.

A model scores whatever it is given: a constant picture, a coloured one, a negative. What no radiograph can be is
refused; what one could be, though seldom is, is told. `docs/plausibility.md` has each check's rate on real
radiographs and on nonsense, and the command that measures it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..dicom.view_words import View

SAMPLE_PX = 256  # pixels taken of the shorter side, unchanged
BANDS = (5, 9)  # grey levels: what JPEG makes of one; two bands lie apart by more than their own width
ONE_OR_TWO = 0.999  # share of pixels of the two most frequent grey levels
SECOND = 0.02  # of a two-valued picture the second band has more
OUTSIDE = 0.05  # and what lies outside both has less; of real radiographs 0.41 and more
CHROMA, FAINT_CHROMA = 72, 24  # difference of a pixel's largest and smallest channel
COLOURED, TINTED = 0.05, 0.002  # share of pixels of such a difference
CONTRAST = 16  # grey levels between the 1st and the 99th percentile; of real radiographs 39 and more
SMOOTHNESS = 0.85, 0.9996  # correlation of neighbouring pixels; of real radiographs 0.95 to 0.9992
RAMP = 0.97  # share of the variance that rises along a line; of real radiographs 0.93 and less
GRID = 7
LIES_OTHERWISE = 0.35  # by how much another lie must fit better than the upright one
UNLIKE = 0.0  # below, the upright one does not fit at all
# The mean ranks of 7 × 7 block means over 556 frontal NIH radiographs (training split), made symmetric, in per cent.
# Printed by `benchmarks/plausibility.py --template`.
MEAN_RADIOGRAPH = (
    (-20, -19, -11, 2, -11, -19, -20),
    (-1, -10, -17, -2, -17, -10, -1),
    (3, -13, -18, 4, -18, -13, 3),
    (-1, -12, -8, 14, -8, -12, -1),
    (-2, -3, 7, 21, 7, -3, -2),
    (-2, 11, 20, 27, 20, 11, -2),
    (-1, 21, 28, 31, 28, 21, -1),
)
Grey = NDArray[np.uint8]
Grid = NDArray[np.float64]


@dataclass(frozen=True)
class Judgement:
    """refusal: why the picture is no radiograph, or nothing. doubts: what a user must be told of it, that included."""

    refusal: str = ""
    doubts: tuple[str, ...] = ()


def judge_picture(grey_u8: Grey, pixels_u8: Grey, view: View) -> Judgement:
    """Judge a picture by its own pixels, (height, width) or (height, width, 3), and those that the model sees.

    view: laterals are not compared with the mean frontal radiograph.
    """
    step = max(1, min(grey_u8.shape[:2]) // SAMPLE_PX)
    sample = grey_u8[::step, ::step]
    refusal = find_two_values(sample) or find_colour(sample)
    if refusal:
        return Judgement(refusal, (refusal,))
    whole = find_flatness(pixels_u8) or find_roughness(pixels_u8) or find_lie(pixels_u8, view)
    return Judgement(doubts=tuple(doubt for doubt in (find_tint(sample), whole) if doubt))


def find_two_values(sample: Grey) -> str:
    """Tell a constant picture, or one whose pixels take two values but for what JPEG adds."""
    shares = count_levels(sample if sample.ndim == 2 else sample.max(axis=2))
    if np.sort(shares)[-2:].sum() >= ONE_OR_TWO:
        return "picture has one or two grey levels"
    bands = [measure_bands(shares, width) for width in BANDS]
    if any(second >= SECOND and first + second >= 1 - OUTSIDE for first, second in bands):
        return "picture has two grey levels but for a trace"
    return ""


def count_levels(grey_u8: Grey) -> NDArray[np.float64]:
    """Return the share of pixels of each of the 256 grey levels."""
    return np.array(Image.fromarray(grey_u8).histogram()) / grey_u8.size  # Pillow counts bytes; numpy widens each first


def measure_bands(shares: NDArray[np.float64], width: int) -> tuple[float, float]:
    """Return the shares of pixels in the fullest band of so many levels, and in the fullest that lies apart from it."""
    bands = np.convolve(shares, np.ones(width), mode="same")
    first = int(bands.argmax())
    apart = np.abs(np.arange(256) - first) > 2 * width
    return float(bands[first]), float(bands[apart].max())


def measure_colour(sample: Grey, chroma: int) -> float:
    """Return the share of pixels whose channels differ by at least `chroma`."""
    if sample.ndim == 2:
        return 0.0
    return float((np.ptp(sample, axis=2) >= chroma).mean())


def find_colour(sample: Grey) -> str:
    """Tell a strongly coloured picture, such as a photograph or a picture with a heat map on it."""
    return "picture is strongly coloured" if measure_colour(sample, CHROMA) >= COLOURED else ""


def find_tint(sample: Grey) -> str:
    """Tell a tinted picture, or one with something coloured drawn on it."""
    if measure_colour(sample, FAINT_CHROMA) < TINTED:
        return ""
    return "picture has colour in it: a radiograph has none; check what was drawn on it"


def measure_contrast(pixels_u8: Grey) -> int:
    """Return the grey levels between the 1st and the 99th percentile."""
    low, high = np.searchsorted(np.cumsum(count_levels(pixels_u8)), (0.01, 0.99))
    return int(high - low)


def find_flatness(pixels_u8: Grey) -> str:
    """Tell a picture that is nearly constant."""
    return "picture is nearly constant: check its window or export" if measure_contrast(pixels_u8) < CONTRAST else ""


def measure_smoothness(pixels_u8: Grey) -> float:
    """Return the correlation of neighbouring pixels: near 1 for radiographs, near 0 for noise."""
    values = _centre(pixels_u8)
    flat, width = values.ravel(), values.shape[1]
    top, bottom, left, right = values[0], values[-1], values[:, 0], values[:, -1]
    # The squares of differences, multiplied out: products of what lies there already, and no picture of differences.
    power = flat @ flat
    down = 2 * (power - flat[width:] @ flat[:-width]) - top @ top - bottom @ bottom
    across = 2 * (power - flat[1:] @ flat[:-1] + right[:-1] @ left[1:]) - left @ left - right @ right
    steps = (down / (values.size - width) + across / (values.size - len(values))) / 2
    return 1 - float(steps) / (2 * max(float(power) / values.size, 1e-6))


def measure_ramp(pixels_u8: Grey) -> float:
    """Return the share of the variance of square pixels that a plane explains: 1 for a ramp in any direction."""
    places = np.arange(len(pixels_u8)) - (len(pixels_u8) - 1) / 2
    values = _centre(pixels_u8)
    slopes = [values.sum(axis=axis) @ places / len(places) for axis in (0, 1)]
    explained = np.square(slopes).sum() / (np.square(places).sum() * len(places))
    flat = values.ravel()
    return float(explained) / max(float(flat @ flat) / flat.size, 1e-6)


def _centre(pixels_u8: Grey) -> NDArray[np.float32]:
    """Return the grey levels less their mean."""
    values = pixels_u8.astype(np.float32)
    values -= values.mean()
    return values


def find_roughness(pixels_u8: Grey) -> str:
    """Tell noise, whose neighbouring pixels have little to do with each other, and what is smoother than radiographs.

    A faint ramp is rough by its few grey levels: it is told by the plane that it lies on.
    """
    smoothness = measure_smoothness(pixels_u8)
    if smoothness < SMOOTHNESS[0]:
        return "picture looks like noise: check that it is a radiograph"
    if smoothness >= SMOOTHNESS[1] or measure_ramp(pixels_u8) >= RAMP:
        return "picture is a ramp, or smoother than a radiograph: check that it is one"
    return ""


def find_lie(pixels_u8: Grey, view: View) -> str:
    """Tell a frontal picture that lies otherwise than upright, is a negative, or is like no chest at all."""
    if view is View.LATERAL:
        return ""
    upright, best, name = measure_fits(pixels_u8)
    if best - upright > LIES_OTHERWISE:
        return f"picture looks {name}: check it before the scores are used"
    return "picture is unlike a frontal chest radiograph: check it" if upright < UNLIKE else ""


def measure_fits(pixels_u8: Grey) -> tuple[float, float, str]:
    """Return the rank correlation of block means with the upright mean radiograph, the best of any lie, and which.

    Correlations are between -1 and 1. Ranks, so that a window or a profile that keeps the order of grey levels
    changes nothing.
    """
    ranks = rank_blocks(pixels_u8)
    fits = [(float((ranks * lie).sum()), name) for name, lie in _LIES]
    return fits[0][0], *max(fits)


def rank_blocks(pixels_u8: Grey) -> Grid:
    """Return the ranks of the means of 7 × 7 blocks, centred and of unit length: (7, 7)."""
    side = len(pixels_u8) // GRID
    rows = pixels_u8.reshape(GRID, side, -1).astype(np.float32).sum(axis=1)  # whole numbers, so ties stay ties
    means = rows.reshape(GRID, GRID, side).sum(axis=2)
    return _to_unit(means.ravel().argsort(kind="stable").argsort(kind="stable").reshape(GRID, GRID))


def _to_unit(grid: NDArray[np.int64]) -> Grid:
    centred = grid - grid.mean()
    unit: Grid = centred / np.sqrt(np.square(centred).sum())
    return unit


_MEAN = _to_unit(np.array(MEAN_RADIOGRAPH))
_LIES = (
    ("upright", _MEAN),
    ("upside down", _MEAN[::-1]),
    ("turned onto its side", np.rot90(_MEAN)),
    ("turned onto its side", np.rot90(_MEAN, -1)),
    ("inverted (bright where a radiograph is dark)", -_MEAN),
    ("inverted and upside down", -_MEAN[::-1]),
    ("inverted and turned onto its side", -np.rot90(_MEAN)),
    ("inverted and turned onto its side", -np.rot90(_MEAN, -1)),
)
