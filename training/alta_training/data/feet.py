"""What the frozen foot of the image tower gives for each look at a radiograph, kept on disk.

A look is one augmentation of a radiograph, drawn from the file's name and the look's number alone: so runs
over other folds, with other seeds and other heads, share what is kept.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alta_sdk.files.atomic import new_file

from ..recipe import Recipe
from .augment import Draw, draw_augmentation
from .pixels import identify_file

FORMAT = 1  # to be raised when what is kept is computed otherwise


class Feet:
    """Tokens by radiograph and look, in half precision; safe to share between processes."""

    def __init__(self, folder: Path, stamp: str, blocks: int, *, cls_alone: bool) -> None:
        """Keep in a folder; stamp: everything besides the radiograph and the look that the tokens depend on.

        blocks: of the image tower, that the tokens have behind them. cls_alone: no other token is kept.
        """
        self.folder, self.stamp = folder, f"{stamp}|{blocks}|{cls_alone}"
        self.blocks, self.cls_alone = blocks, cls_alone

    def has(self, radiograph: Path, look: int) -> bool:
        """Tell whether a look is kept, and whole."""
        try:
            np.load(self._file(radiograph, look), mmap_mode="r", allow_pickle=False)  # its header, and its size
        except (OSError, ValueError, EOFError):
            return False
        return True

    def load(self, radiograph: Path, look: int) -> Tensor:
        """Return the tokens (tokens, width) float32 of a look that is kept."""
        return torch.from_numpy(np.load(self._file(radiograph, look), allow_pickle=False)).float()

    def store(self, radiograph: Path, look: int, tokens: NDArray[np.float16]) -> None:
        """Keep the tokens (tokens, width) of a look."""
        file = self._file(radiograph, look)
        file.parent.mkdir(parents=True, exist_ok=True)
        with new_file(file) as temporary, temporary.open("wb") as out:
            np.save(out, tokens)

    def _file(self, radiograph: Path, look: int) -> Path:
        digest = hashlib.sha256(f"{identify_file(radiograph)}|{look}|{self.stamp}|{FORMAT}".encode()).hexdigest()
        return self.folder / "feet" / digest[:2] / f"{digest}.npy"


@dataclass(frozen=True)
class FeetByEpoch:
    """What a run reads: while the image tower waits for the heads, all of it is foot."""

    moving: Feet
    waiting: Feet | None = None
    image_from: float = 0.0

    def of(self, epoch: int) -> Feet:
        """Return what is read in an epoch, counted from 0: the waiting one where the tower waits to its end."""
        return self.waiting if self.waiting is not None and epoch + 1 <= self.image_from else self.moving


def draw_look(recipe: Recipe, radiograph: Path, look: int) -> Draw:
    """Draw the augmentation of a look within the recipe's bounds."""
    seed = hashlib.sha256(f"{radiograph.name}|{look}".encode()).digest()[:7]
    return draw_augmentation(recipe, torch.Generator().manual_seed(int.from_bytes(seed)))
