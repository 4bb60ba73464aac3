"""What the frozen foot of the image tower gives for each look at a radiograph, kept on disk.

A look is one augmentation of a radiograph, drawn from the file's name and the look's number alone: so runs
over other folds, with other seeds and other heads, share what is kept.
"""

import hashlib
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

    def __init__(self, folder: Path, stamp: str) -> None:
        """Keep in a folder; stamp: everything besides the radiograph and the look that the tokens depend on."""
        self.folder, self.stamp = folder, stamp

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


def draw_look(recipe: Recipe, radiograph: Path, look: int) -> Draw:
    """Draw the augmentation of a look within the recipe's bounds."""
    seed = hashlib.sha256(f"{radiograph.name}|{look}".encode()).digest()[:7]
    return draw_augmentation(recipe, torch.Generator().manual_seed(int.from_bytes(seed)))
