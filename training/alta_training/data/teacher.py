"""The teacher's table: vectors that a larger text model gave the sentences of a training table.

Kept as an .npz without pickles: sentences (n,) text, vectors (n, width) float32. `alta-train teach` makes it.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alta_sdk.errors import TrainingError
from alta_sdk.files.opening import open_file
from alta_sdk.files.targets import write_target

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Teacher:
    """Vectors (width,) float32 by sentence, of one length for all."""

    vectors: dict[str, NDArray[np.float32]]

    def embed(self, sentences: Sequence[str]) -> "Tensor":
        """Return the mean vector of a text's sentences: (width,)."""
        import torch  # which nothing else of a table needs

        return torch.from_numpy(np.mean([self.vectors[sentence] for sentence in sentences], axis=0))


def read_teacher(path: Path, sentences: Iterable[str], width: int) -> Teacher:
    """Read a table and check that it knows every sentence, in vectors of the width that the recipe has.

    Raises TrainingError if it cannot be read, is of another form, or lacks a sentence.
    """
    try:
        with open_file(path) as file, np.load(file, allow_pickle=False) as content:
            known, vectors = content["sentences"], content["vectors"]
    except Exception as error:  # numpy raises many kinds for damaged files, zipfile's among them
        raise TrainingError(
            f"teacher {path.name} cannot be read: give the .npz that alta-train teach writes"
        ) from error
    if vectors.ndim != 2 or known.shape != vectors.shape[:1] or known.dtype.kind != "U" or vectors.dtype != np.float32:
        raise TrainingError(f"teacher {path.name} does not hold one float32 vector for each sentence: make it anew")
    if vectors.shape[1] != width:
        raise TrainingError(
            f"teacher {path.name} has vectors of {vectors.shape[1]} numbers, the recipe says {width}: "
            "set objectives.distillation.width"
        )
    if not np.isfinite(vectors).all():
        raise TrainingError(f"teacher {path.name} holds numbers that are not finite: make it anew")
    teacher = Teacher(dict(zip(known.tolist(), vectors, strict=True)))
    lacking = len(set(sentences) - set(teacher.vectors))
    if lacking:
        raise TrainingError(f"teacher {path.name} lacks {lacking} sentences of the table: run alta-train teach on it")
    return teacher


def is_teacher(head: bytes) -> bool:
    """Tell by its first bytes, a zip's first name, whether a file is such a table."""
    return head.startswith(b"PK\x03\x04") and head[30:].startswith(b"sentences.npy")


def write_teacher(
    path: Path, sentences: Sequence[str], vectors: NDArray[np.float32], *, overwrite: bool = False
) -> None:
    """Write a table, atomically. Raises AltaError if a file is there, or with overwrite one of another kind."""
    table = io.BytesIO()
    np.savez(table, sentences=np.array(sentences, dtype=np.str_), vectors=np.asarray(vectors, dtype=np.float32))
    write_target(path, table.getvalue(), "teacher", overwrite=overwrite, is_ours=is_teacher)
