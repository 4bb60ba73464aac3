"""The area under the ROC curve by counting, exact in its ties."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def compute_auc(scores: NDArray[np.floating[Any]], truth: NDArray[np.bool_]) -> float:
    """Return how often a positive scores above a negative, ties counting half; not a number for one class.

    scores: (n,), finite. truth: (n,). Whole numbers are counted and divided once, so it is the exact figure,
    correctly rounded: that of average ranks, to the last bit.
    Source: Hanley and McNeil, Radiology 1982.
    """
    ordered, positive = np.sort(scores[~truth]), scores[truth]
    if not len(positive) or not len(ordered):
        return float("nan")
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.sum() / (2 * len(positive) * len(ordered)))
