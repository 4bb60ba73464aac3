"""How many studies an interval of a wished width needs, from what these studies showed."""

import math

from .intervals import Z_95, measure_proportion


def count_for_auc(variance: float, count: int, width: float) -> int:
    """Return how many studies of the same mix make a 95 % interval of an AUC so wide.

    variance: of the AUC of `count` studies. A variance falls as one over their number.
    """
    return math.ceil(count * variance * (2 * Z_95 / width) ** 2)


def count_for_share(share: float, width: float) -> int:
    """Return how many studies make a Wilson interval around a share so wide, or narrower from there on."""
    least, most = 1, 2
    while _measure_width(share, most) > width:
        most *= 2
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if _measure_width(share, middle) <= width else (middle + 1, most)
    return least


def _measure_width(share: float, count: int) -> float:
    # Wilson's formula takes a share of any value; whole hits would make the width jump.
    found = measure_proportion(share * count, count)
    return found.high - found.low
