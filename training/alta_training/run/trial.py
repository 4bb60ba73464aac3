"""A dry run: one part of a step computed, timed and its memory told; no weight changes and nothing is written."""

import sys
import time
from dataclasses import dataclass
from datetime import timedelta

import torch

from .loop import Trainer

MOMENTS = 2 * 4  # bytes that AdamW keeps of each parameter that trains


@dataclass(frozen=True)
class Trial:
    """losses: of one part. seconds: of a whole step. memory_bytes: the peak, with what AdamW will keep; 0: unknown."""

    losses: dict[str, float]
    seconds: float
    memory_bytes: int
    steps_per_epoch: int
    epochs: int

    def __str__(self) -> str:
        """Spell it as one line."""
        losses = " ".join(f"{name} {value:.3f}" for name, value in self.losses.items())
        whole = timedelta(seconds=round(self.seconds * self.steps_per_epoch * self.epochs))
        memory = f", {self.memory_bytes / 1e9:.1f} GB of memory at the peak" if self.memory_bytes else ""
        return (
            f"dry run: a step takes about {self.seconds:.1f} s ({losses}), an epoch {self.steps_per_epoch} steps, "
            f"{self.epochs} epochs about {whole}{memory}; nothing was written"
        )


def try_step(trainer: Trainer) -> Trial:
    """Compute one part of a step as training would, and return what a whole run takes."""
    start = time.perf_counter()
    losses = trainer.try_part()
    seconds = (time.perf_counter() - start) * trainer.recipe.accumulate
    trained = sum(p.numel() for group in trainer.optimizer.param_groups for p in group["params"])
    peak = _measure_peak()
    memory = peak and peak + MOMENTS * trained
    return Trial(losses, seconds, memory, trainer.steps_per_epoch, trainer.recipe.epochs)


def _measure_peak() -> int:
    """Return the most memory that was held: of the GPU if one is in use, else of the process."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource  # absent on Windows
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
