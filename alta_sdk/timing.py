"""Times of several things in one run and in turn, so that a drift of the machine's speed touches all alike."""

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

WARM_UPS = 2
PAUSE_S = 0.1  # worker threads spin for a while after a run and would slow the next one


def time_in_turn(
    runs: Mapping[str, Callable[[], object]], rounds: int, pause_s: float = PAUSE_S
) -> dict[str, list[float]]:
    """Run each in turn, `rounds` times after two warm-ups; return seconds by name, in the order of the rounds."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(WARM_UPS + rounds):
        for name, run in runs.items():
            time.sleep(pause_s)
            start = time.perf_counter()
            run()
            if number >= WARM_UPS:
                times[name].append(time.perf_counter() - start)
    return times


def make_grey(height: int = 2500, width: int = 2048) -> NDArray[np.uint8]:
    """Make a synthetic image of a radiograph's size, for timings: (height, width) uint8, smooth with a little noise."""
    rows, columns = (np.arange(side, dtype=np.float32) for side in (height, width))
    grey = 60 * np.outer(np.sin(rows / 310), np.cos(columns / 270))
    grey += 90 + 30 * np.sin(columns / 61)
    grey += np.random.default_rng(0).normal(0, 3, width).astype(np.float32)  # detector columns differ a little
    return np.asarray(np.clip(grey, 0, 255), dtype=np.uint8)
