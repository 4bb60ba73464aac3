"""How long decoding the images of one study may take together, in seconds of processor time.

The threat: each frame stays within its own limit, and a study has a thousand of them: copies that are compared,
priors that turn out damaged. What the bytes of a frame explain is no charge; what it takes beyond that is shared.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import DicomError

BASE_S = 4.0  # of one frame, and of all frames of a study, beyond what their bytes explain
S_PER_MIB = 1.0  # of compressed data: JPEG 2000, the slowest, takes about half of it
COPIES_S = 2.0  # of comparing images, whatever their size
SPENT = f"images of this study take more than {BASE_S:.0f} s and 1 s a MiB to decode together: refused"


class DecodeTime:
    """What is left of the seconds that images which are decoded one after another share."""

    def __init__(self, seconds: float = BASE_S, *, goes_by_size: bool = True) -> None:
        """Begin with some seconds. goes_by_size: each frame that is decoded may take a second for each MiB beside."""
        self._left = seconds
        self._goes_by_size = goes_by_size

    def __repr__(self) -> str:
        """Say what is left, so that options that hold it are shown by what they are."""
        return f"<DecodeTime, {self._left:.3f} s left>"

    @property
    def is_spent(self) -> bool:
        """True if nothing is left."""
        return self._left <= 0

    def grant(self, explained_s: float) -> float:
        """Return how long the next frame may take; raise DicomError if nothing is left.

        explained_s: what its bytes explain.
        """
        if self.is_spent:
            raise DicomError(SPENT)
        return min(BASE_S + explained_s, self._left + (explained_s if self._goes_by_size else 0))

    def charge(self, used_s: float, explained_s: float = 0.0) -> None:
        """Count what a frame took beyond what its bytes explain, which is nothing for one that was damaged."""
        self._left -= max(0.0, used_s - (explained_s if self._goes_by_size else 0))

    @contextmanager
    def count_own(self) -> Iterator[None]:
        """Count what this thread itself does."""
        began = time.thread_time()
        try:
            yield
        finally:
            self.charge(time.thread_time() - began)
