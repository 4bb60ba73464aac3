"""Radiographs of a long list, each encoded on one processor, by the thread that has read it.

A run on all processors makes each of them wait for the slowest at every product, and waits for one that decodes; runs
on one processor each wait for nobody. It takes the image graph a second time, loaded for one thread, so that it pays
for long lists alone. A vector is still what the engine gives for that radiograph, to the last bit: kernels may differ
by the number of threads, so the first study is run both ways on this machine, and where the bits differ nothing more
is encoded here.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from alta_runtimes import Session

from ..errors import AltaError
from ..study.slots import Slot
from .closing import ClosableSession
from .image_encoder import ImageEncoder


class Streams:
    """Encodes into an encoder's cache, in the threads that call; safe to share between them."""

    def __init__(self, images: ImageEncoder, open_session: Callable[[int], Session] | None, count: int) -> None:
        """Work for `images`. open_session: loads its graph for so many runs at once, each on one thread; None: never.

        count: how many run at once at most; fewer than two are no gain.
        """
        self._images = images
        self._open_session = open_session if count > 1 else None
        self._count = count
        self._running = threading.BoundedSemaphore(max(1, count))
        self._trying = threading.Lock()
        self._session: ClosableSession | None = None
        self._encoder: ImageEncoder | None = None  # once it has given the same bits

    def encode(self, radiographs: Sequence[tuple[NDArray[np.uint8], Slot]]) -> None:
        """Encode the radiographs of one study in this thread, if that is known to change no bit; else do nothing.

        The first call loads the graph and tries; others do nothing meanwhile. What is wrong is left to the study's own
        turn.
        """
        encoder = self._encoder
        if encoder is not None:
            with self._running, suppress(AltaError):
                for one in radiographs:  # one by one: a batch would be another run
                    encoder.encode([one])
        elif self._open_session is not None and radiographs and self._trying.acquire(blocking=False):
            try:
                if self._open_session is not None:  # another thread may have tried meanwhile
                    self._try(self._open_session, radiographs)
            finally:
                self._trying.release()

    def close(self) -> None:
        """Let go of the graph."""
        self._open_session = self._encoder = None
        with self._trying:  # one that is being loaded is let go of when it is there
            if self._session is not None:
                self._session.close()
            self._encoder = None

    def _try(
        self, open_session: Callable[[int], Session], radiographs: Sequence[tuple[NDArray[np.uint8], Slot]]
    ) -> None:
        self._open_session = None  # once, whatever comes
        with suppress(AltaError):  # such as a bundle that was changed since it was opened
            self._session = ClosableSession(open_session(self._count))
            alone = self._images.beside(self._session)
            given = [alone.encode_all([one])[0] for one in radiographs]
            wanted = self._images.encode_all(radiographs)
            if all(all(map(np.array_equal, *both)) for both in zip(given, wanted, strict=True)):
                self._encoder = self._images.beside(self._session, shares_cache=True)
            else:
                self._session.close()
