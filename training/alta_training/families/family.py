"""What every family of published checkpoints tells and gives: the one interface between reading and exporting.

A family is a kind of published checkpoint: it knows its tensor names, its arithmetic, its preprocessing, and how it
reads a prior. Nobody types it; `registry.recognise` tells it by the names of tensors. Its towers compute what was
published, in plain torch, so that training, evaluation and the export's verification compare with the same thing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from alta_sdk.engine.manifest_content import AS_IS, BEFORE_NORMALISATION, FRONTAL, NO_MATCH
from alta_sdk.study.geometry import Geometry

from .asking import Asking
from .checkpoint import Checkpoint


@dataclass(frozen=True)
class Towers:
    """A checkpoint as it was published: modules in float32 and evaluation mode, and what goes with them.

    image: `forward(grey_u8)`, (n, 1, px, px) uint8 to the projections (n, embedding) of current frontals alone, not
    of unit length; a family whose trunk and projector are apart gives `static` and `project`, too.
    text: `forward(input_ids, attention_mask)`, (n, length) int64 both, to the projections (n, embedding).
    sizes: what a reader of a manifest may want, by name; "embedding" and "max_tokens" are always there.
    logit_scale: what cosines are multiplied with before a softmax; 1.0 where none is stored.
    patch_match: how a phrase is found in the patches: "words", "phrase" or "none".
    provenance: of which files this was read, their SHA-256 by name.
    """

    family: str
    image: nn.Module
    text: nn.Module
    sizes: dict[str, int]
    geometry: Geometry
    intensity_profile: str
    tokenizer_json: str
    prompt_rule: str = AS_IS
    prompt_average: str = BEFORE_NORMALISATION
    logit_scale: float = 1.0
    fusion_modes: tuple[str, ...] = (FRONTAL,)
    default_fusion_mode: str = FRONTAL
    patch_match: str = NO_MATCH
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """A kind of published checkpoint.

    title: as people call it. licence: of the published weights. intended_use: its model card's, word for word.
    method: how a manifest names it, with the paper. source_line: whose code computes what the towers compute.
    looks_for: names of tensors, or beginnings that end in "*", by which it is recognised; shown to people.
    recognises: whether a checkpoint with these names is of this family; one tensor more or less must not decide it,
    so that `read` can tell which.
    read: checkpoint, text-model folder, tokenizer file and image heads (None where not given) to the towers; raises
    CheckpointError that names every missing, unexpected or misshapen tensor.
    asking: the prompts of its engines and of its evaluation. holds_text: True if a checkpoint holds its text tower, so
    that what else is needed lies in its own folder; False if the text model is a folder by itself.
    more_options: what may be said beside the files that only some families have a use for.
    """

    name: str
    title: str
    licence: str
    intended_use: str
    method: str
    source_line: str
    looks_for: tuple[str, ...]
    recognises: Callable[[frozenset[str]], bool]
    read: Callable[[Checkpoint, Path | None, Path | None, int | None], Towers]
    asking: Asking = field(default_factory=Asking)
    holds_text: bool = False
    more_options: tuple[str, ...] = ()
