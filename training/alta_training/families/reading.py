"""From the files that are named to a recognised checkpoint: which family it is of, and what goes with it.

Nobody says the family: its tensors do. What only some families have a use for is refused for the others.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from alta_sdk.errors import CheckpointError

from .checkpoint import Checkpoint, read_checkpoint
from .family import Family, Towers
from .open_clip_folder import CONFIG, find_open_clip_weights
from .registry import recognise

TEXT_MODEL = "text-model"  # the folder beside a checkpoint that is looked for
STATED = ("text_heads", "preprocessing")  # what a checkpoint may state itself, and who names the files may say
OPTIONAL = ("tokenizer", *STATED)


@dataclass(frozen=True)
class GivenFiles:
    """What a user names, None where nothing is named.

    checkpoint: a file, or a published folder of open_clip. text_model: folder. tokenizer: CLIP's merges file.
    image_heads, text_heads: attention heads, which no tensor tells. preprocessing: whose pixels a CLIP reads.
    """

    checkpoint: Path
    text_model: Path | None = None
    tokenizer: Path | None = None
    image_heads: int | None = None
    text_heads: int | None = None
    preprocessing: str | None = None


@dataclass(frozen=True, eq=False)
class RecognisedCheckpoint:
    """A checkpoint whose family is known; folder: its text model's, or with what its text tower needs besides."""

    family: Family
    checkpoint: Checkpoint
    folder: Path | None
    given: GivenFiles

    def read(self) -> Towers:
        """Return the published towers; raises CheckpointError."""
        return self.family.read(self.checkpoint, self.folder, self.given.tokenizer, self.given.image_heads)


def recognise_files(given: GivenFiles) -> RecognisedCheckpoint:
    """Read a checkpoint, and find what goes with it; raises CheckpointError if no family, or several, know it."""
    weights = find_open_clip_weights(given.checkpoint) if os.path.isdir(given.checkpoint) else given.checkpoint
    checkpoint = read_checkpoint(weights)
    family = recognise(checkpoint.weights)
    for name in OPTIONAL:
        if getattr(given, name) is not None and name not in family.more_options:
            raise CheckpointError(f"{_option(name)} is of no use for {family.title}: leave it out")
    return RecognisedCheckpoint(family, _state(checkpoint, given), _find_folder(given, weights, family), given)


def is_open_clip_folder(path: Path) -> bool:
    """True for a folder that says that it is a model of open_clip."""
    return os.path.isfile(path / CONFIG)


def _find_folder(given: GivenFiles, weights: Path, family: Family) -> Path | None:
    if given.text_model is not None:
        return given.text_model
    if family.holds_text:
        return weights.parent
    beside = weights.parent / TEXT_MODEL
    return beside if os.path.isdir(beside) else None


def _state(checkpoint: Checkpoint, given: GivenFiles) -> Checkpoint:
    """Return a checkpoint that states what was said of it; raise CheckpointError if its file states something else."""
    said = {name: str(value) for name in STATED if (value := getattr(given, name)) is not None}
    for name, value in said.items():
        if checkpoint.metadata.get(name, value) != value:
            raise CheckpointError(f"checkpoint states another {name.replace('_', ' ')}: leave {_option(name)} out")
    return replace(checkpoint, metadata={**checkpoint.metadata, **said})


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
