"""Times of several things in one run and in turn, so that a drift of the machine's speed touches all alike."""

import time
from collections.abc import Callable, Mapping

WARM_UPS = 2
PAUSE_S = 0.1  # worker threads spin for a while after a run and would slow the next one


def time_in_turn(
    runs: Mapping[str, Callable[[], object]],
    rounds: int,
    pause_s: float = PAUSE_S,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Run each in turn, `rounds` times after two warm-ups; return seconds by name, in the order of the rounds.

    clock: tells seconds; `time.process_time` those that this process had a processor, all of its threads together.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(WARM_UPS + rounds):
        for name, run in runs.items():
            time.sleep(pause_s)
            start = clock()
            run()
            if number >= WARM_UPS:
                times[name].append(clock() - start)
    return times
