"""Tasks on whatever runs them: a bounded number at once, again after a death, and halved until the killer is alone.

A runner submits a call, waits for one of its calls to end, and gives its result or `TaskLost`. That is all that local
processes, Ray and Dask have in common, and all that they need.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ..errors import EngineError
from ..study.key import SiteKey
from .looking import Slice, look_at_slice
from .manifest import Shard
from .shard import ShardJob, ShardOutcome, bury_shard, embed_shard

AGAIN = 5  # runs of a task after the first, each ended by the death of its process
T = TypeVar("T")


class TaskLost(Exception):
    """The process that ran a task has died, and nothing is known of the task."""


class Runner(Protocol):
    """What runs tasks. in_flight: how many are submitted at once, at most two for a worker."""

    in_flight: int

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Begin a call; return a ticket for it."""

    def wait(self, tickets: Sequence[Any]) -> Any:
        """Return a ticket whose call has ended."""

    def take(self, ticket: Any) -> Any:
        """Return the result of a call that has ended, or raise what it raised, or TaskLost."""

    def close(self) -> None:
        """End what was started; calls that run are given up."""


@dataclass(frozen=True)
class _Trial:
    """A task, and how often it was lost. is_suspect: a half of one that was lost each time."""

    task: Any
    lost: int = 0
    is_suspect: bool = False


def look_at_all(runner: Runner, job: ShardJob, slices: Sequence[Slice]) -> dict[str, list[str | None]]:
    """Return what the files of each slice are, by its name. Raises TaskLost for one that ends its process each time."""
    found: dict[str, list[str | None]] = {}

    def give_up(trial: _Trial) -> list[_Trial]:
        raise TaskLost

    for task, groups in _run_all(runner, lambda one: (look_at_slice, job, one), slices, give_up):
        found[task.name] = groups
    return found


def embed_all(runner: Runner, job: ShardJob, shards: Sequence[Shard], site_key: SiteKey) -> Iterator[ShardOutcome]:
    """Embed every shard and yield what became of it, as it ends. One of halves counts for itself.

    A shard whose process dies is run again five times, then in halves, each once, until the study that ends the
    process is alone: that one is tried as often again, and then told dead. Raises EngineError where nothing runs any
    more: a cluster that is lost is no study's fault.
    """

    buried: list[ShardOutcome] = []

    def give_up(trial: _Trial) -> list[_Trial]:
        if len(trial.task.entries) > 1:
            return [_Trial(half, is_suspect=True) for half in trial.task.halve(job.origin)]
        buried.append(bury_shard(job, trial.task, site_key))
        return []

    for _, outcome in _run_all(runner, lambda one: (embed_shard, job, one), shards, give_up):
        yield outcome
        yield from _drain(buried)
    yield from _drain(buried)


def _run_all(
    runner: Runner,
    call: Callable[[Any], tuple[Any, ...]],
    tasks: Sequence[Any],
    give_up: Callable[[_Trial], list[_Trial]],
) -> Iterator[tuple[Any, Any]]:
    waiting = deque(_Trial(task) for task in tasks)
    running: dict[Any, _Trial] = {}
    while waiting or running:
        while waiting and len(running) < runner.in_flight:
            trial = waiting.popleft()
            running[runner.submit(*call(trial.task))] = trial
        ticket = runner.wait(list(running))
        trial = running.pop(ticket)
        try:
            result = runner.take(ticket)
        except TaskLost:
            waiting.extend(_try_again(trial, runner, give_up))
        else:
            yield trial.task, result


def _try_again(trial: _Trial, runner: Runner, give_up: Callable[[_Trial], list[_Trial]]) -> list[_Trial]:
    """Return what is run in place of a task that was lost: itself, or what is made of it."""
    is_alone = len(getattr(trial.task, "entries", ())) == 1
    most = AGAIN if is_alone or not trial.is_suspect else 0
    if trial.lost < most:
        return [_Trial(trial.task, trial.lost + 1, trial.is_suspect)]
    _require_life(runner)
    return give_up(trial)


def _require_life(runner: Runner) -> None:
    """Raise EngineError if a call that does nothing is lost as often as a task is."""
    for _ in range(1 + AGAIN):
        with suppress(TaskLost):
            runner.take(runner.wait([runner.submit(_do_nothing)]))
            return
    raise EngineError("what runs the tasks has died: start it again, and run the same command to go on")


def _do_nothing() -> None:
    pass


def _drain(found: list[ShardOutcome]) -> Iterator[ShardOutcome]:
    while found:
        yield found.pop(0)
