"""The progress of a run over shards: a bar on a terminal, else a line a minute, both on standard error."""

import sys
import time
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from ..archive.run import Plan
from ..archive.shard import ShardOutcome
from .terminal import say

LINE_S = 60.0


class Pace:
    """How far a run is: studies read, those of them that could not be, and how long the rest will take."""

    def __init__(self, plan: Plan) -> None:
        """Begin now."""
        self._plan, self._began = plan, time.monotonic()
        self.shards = self.studies = self.dead = 0

    def add(self, outcome: ShardOutcome) -> None:
        """Count a shard that is done."""
        dead = sum(outcome.dead.values())
        self.shards += 1
        self.studies += outcome.studies + dead
        self.dead += dead

    def __str__(self) -> str:
        """Say it in one line; shards that were halved make more of them than were planned."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = self.studies / seconds
        left = (self._plan.studies - self.studies) / rate if rate else 0.0
        total = max(self.shards, len(self._plan.shards))
        return (
            f"{self.shards} of {total} shards, {rate:.1f} studies/s, {self.dead} unreadable, {show_duration(left)} left"
        )


def show_duration(seconds: float) -> str:
    """Return a duration as people read it: 2 h 05 min, 3 min, 20 s."""
    whole = max(round(seconds), 0)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min" if whole >= 60 else f"{whole} s"


def show_shards(outcomes: Iterable[ShardOutcome], plan: Plan) -> Iterator[ShardOutcome]:
    """Pass outcomes on and show how far the run is."""
    pace = Pace(plan)
    if not sys.stderr.isatty():
        said = time.monotonic()
        for outcome in outcomes:
            pace.add(outcome)
            yield outcome
            if time.monotonic() - said >= LINE_S:
                said = time.monotonic()
                say(str(pace))
        return
    with Progress(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(str(pace), total=max(plan.studies, 1))
        for outcome in outcomes:
            pace.add(outcome)
            yield outcome
            bar.update(task, completed=pace.studies, description=str(pace))
