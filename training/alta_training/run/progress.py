"""What a person sees of a run: a progress bar, TensorBoard curves, a line of JSON a step."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .files import append_metrics


class ProgressReport:
    """Shows and keeps the numbers of a run; on other processes than the first it does nothing."""

    def __init__(self, folder: Path, epochs: int, steps: int, done: int, is_first: bool) -> None:
        """Prepare for `steps` steps in all, of which `done` are done already."""
        self.folder, self.epochs, self.is_first = folder, epochs, is_first
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not is_first,
        )
        self._task = self._bar.add_task("start", total=steps, completed=done, figures="")
        self._writer = None
        self._since = time.perf_counter()
        if is_first:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"))

    def __enter__(self) -> "ProgressReport":
        """Start the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Stop the bar and close the curves."""
        self._bar.stop()
        if self._writer is not None:
            self._writer.close()

    def show_step(self, step: int, epoch: int, losses: Mapping[str, float], rate: float, studies: int) -> None:
        """Report one optimizer step: its losses, the learning rate and the studies it saw."""
        if not self.is_first:
            return
        now = time.perf_counter()
        speed, self._since = studies / max(now - self._since, 1e-9), now
        figures = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
        self._bar.update(
            self._task,
            completed=step,
            description=f"epoch {epoch + 1}/{self.epochs}",
            figures=f"{figures} lr {rate:.1e} {speed:.0f}/s",
        )
        line = {**losses, "learning_rate": rate, "radiographs_per_second": round(speed, 2)}
        self._keep("train", step, epoch, line)

    def show_validation(self, step: int, epoch: int, figures: Mapping[str, float]) -> None:
        """Report a validation."""
        if self.is_first:
            shown = " ".join(f"{name} {value:.3f}" for name, value in figures.items())
            self._bar.console.print(f"epoch {epoch + 1}: {shown}", highlight=False)
            self._keep("validation", step, epoch, figures)
            self._since = time.perf_counter()

    def _keep(self, kind: str, step: int, epoch: int, figures: Mapping[str, float]) -> None:
        append_metrics(self.folder, {"kind": kind, "step": step, "epoch": epoch + 1, **figures})
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(f"{kind}/{name}", value, step)
