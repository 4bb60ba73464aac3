"""What a person sees of a run, and what is kept of it: a bar or lines, a line of JSON a step, and the loggers.

Without a terminal a line comes with the first step, each minute and each epoch, whole: a log is read later, in a
window of another width.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from alta_sdk.cli.terminal import say

from .files import append_metrics

LINE_EVERY_S = 60.0


class ProgressReport:
    """Shows and keeps the numbers of a run; on other processes than the first it does nothing."""

    def __init__(
        self,
        folder: Path,
        epochs: int,
        steps: int,
        done: int,
        fabric: Fabric,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Prepare for `steps` steps in all, of which `done` are done already; clock: seconds."""
        self.folder, self.epochs, self.steps, self.done = folder, epochs, steps, done
        self.fabric, self.is_first, self._clock = fabric, fabric.is_global_zero, clock
        self._on_terminal = self.is_first and sys.stderr.isatty()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._on_terminal,
        )
        self._task = self._bar.add_task("start", total=steps, completed=done, figures="")
        self._start = self._since = clock()
        self._line_due = self._start  # at once: with the first step
        self._of_epoch: Counter[str] = Counter()
        self._epoch_steps = 0

    def __enter__(self) -> "ProgressReport":
        """Start the bar."""
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        """Stop the bar and close the loggers."""
        self._bar.stop()
        for logger in self.fabric.loggers if self.is_first else ():
            logger.finalize("failed" if kind else "success")

    def show_part(self, step: int, part: int, parts: int) -> None:
        """Tell within a step of several parts that it goes on; step: those that are done."""
        if parts > 1 and part < parts and self._is_line_due():
            self._tell(f"step {step + 1} of {self.steps}: part {part} of {parts}")

    def show_step(self, step: int, epoch: int, losses: Mapping[str, float], rate: float, studies: int) -> None:
        """Report one optimizer step: its losses, the learning rate and the studies it saw."""
        if not self.is_first:
            return
        now = self._clock()
        speed, self._since = studies / max(now - self._since, 1e-9), now
        figures = f"{_show(losses)} lr {rate:.1e} {speed:.0f}/s"
        self._bar.update(self._task, completed=step, description=f"epoch {epoch + 1}/{self.epochs}", figures=figures)
        if self._is_line_due():
            self._tell(
                f"epoch {epoch + 1}/{self.epochs}, step {step} of {self.steps}: {figures}{self._tell_time(step)}"
            )
        self._of_epoch.update(losses)
        self._epoch_steps += 1
        line = {**losses, "learning_rate": rate, "radiographs_per_second": round(speed, 2)}
        self._keep("train", step, epoch, line)

    def show_epoch(self, step: int, epoch: int) -> None:
        """Report that an epoch is done: the means of its losses, over the steps that this process has seen."""
        if self.is_first and self._epoch_steps:
            means = {name: total / self._epoch_steps for name, total in self._of_epoch.items()}
            if not self._on_terminal:
                self._tell(f"epoch {epoch + 1}/{self.epochs} done: mean {_show(means)}{self._tell_time(step)}")
        self._of_epoch.clear()
        self._epoch_steps = 0

    def show_validation(self, step: int, epoch: int, figures: Mapping[str, float]) -> None:
        """Report a validation; the AUC with its interval."""
        if self.is_first:
            others = {name: value for name, value in figures.items() if not name.startswith("auc")}
            interval = f"AUC {figures['auc']:.3f} ({figures['auc_low']:.3f} to {figures['auc_high']:.3f}, 95 %)"
            line = f"epoch {epoch + 1}: {' '.join([interval, *([_show(others)] if others else [])])}"
            if self._on_terminal:
                self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
            else:
                self._tell(line)
            self._keep("validation", step, epoch, figures)
            self._since = self._clock()

    def _is_line_due(self) -> bool:
        return self.is_first and not self._on_terminal and self._clock() >= self._line_due

    def _tell(self, line: str) -> None:
        say(line)
        self._line_due = self._clock() + LINE_EVERY_S

    def _tell_time(self, step: int) -> str:
        gone, taken = self._clock() - self._start, step - self.done
        rest = gone / max(taken, 1) * (self.steps - step)
        return f", {timedelta(seconds=round(gone))} gone, about {timedelta(seconds=round(rest))} to go"

    def _keep(self, kind: str, step: int, epoch: int, figures: Mapping[str, float]) -> None:
        append_metrics(self.folder, {"kind": kind, "step": step, "epoch": epoch + 1, **figures})
        self.fabric.log_dict({f"{kind}/{name}": value for name, value in figures.items()}, step)


def _show(figures: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in figures.items())
