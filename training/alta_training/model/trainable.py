"""Which parameters train: as published the adapters, all layer norms, heads and tokens; everything else is frozen.

The rule gives the published set of names, which a test holds against the published code's own list. A
recipe may freeze more of the image tower, or take the text tower in whole. Of these a run trains what its
objectives reach.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from alta_sdk.errors import TrainingError

from ..adapters import ADAPTERS
from . import AltaModel
from .names import published_name

TRAINED_PARTS = (
    "norm",
    "projection_head",
    "decoder_embed",
    "decoder_pred",
    "logit_scale",
    "cls.predictions.transform",
)
TRAINED_NAMES = frozenset(
    {
        "cls_token",
        "mask_token",
        "view_embedding",
        "temporal_embedding",
        "bert_encoder.cls.predictions.bias",
    }
)
TRAINED = "trained_parameters"  # the key under which a run states its count in a checkpoint's metadata


@dataclass(frozen=True)
class ParameterCount:
    """How many numbers train, of how many."""

    trained: int
    total: int

    def __str__(self) -> str:
        """Say it as in a log: 18,333,502 of 242,177,854 (7.6 %)."""
        return f"{self.trained:,} of {self.total:,} ({100 * self.trained / self.total:.1f} %)"


def freeze_backbones(
    model: AltaModel, image_tower: str = "adapters", text_tower: str = "adapters", image_blocks: int = 0
) -> ParameterCount:
    """Let the published set of parameters train and freeze the rest; return the counts.

    image_tower, text_tower: "adapters" is the published set; "frozen" takes all of that tower but its heads
    out; "whole" takes all of the text tower in but its adapters, which stay as they are. image_blocks: above
    0, nothing of the image tower below its last so many blocks trains.
    """
    foot = count_frozen_blocks(model, image_tower, image_blocks)
    adapter_parts = ADAPTERS[model.sizes.image.adapter].trained_parts
    for name, parameter in model.named_parameters():
        own = published_name(name)
        is_adapter = any(part in own.lower() for part in adapter_parts)
        trains = is_adapter or own in TRAINED_NAMES or any(part in own.lower() for part in TRAINED_PARTS)
        if "projection_head" not in own:
            if name.startswith("image.") and (image_tower == "frozen" or foot and not _is_above(name, foot)):
                trains = False
            elif name.startswith("text.") and text_tower != "adapters":
                trains = text_tower == "whole" and not is_adapter
        parameter.requires_grad_(trains)
    return count_parameters(model)


def count_frozen_blocks(model: AltaModel, image_tower: str, image_blocks: int) -> int:
    """Return how many blocks at the image tower's foot are frozen with all that is before them; 0: none is.

    Raises TrainingError if the tower has no more than image_blocks.
    """
    depth = len(model.image.blocks)
    if image_tower == "frozen":
        return depth
    if image_blocks >= depth:
        raise TrainingError(f"recipe: image_blocks is {image_blocks}, but the tower has {depth}: 0 is all blocks")
    return depth - image_blocks if image_blocks else 0


def _is_above(name: str, foot: int) -> bool:
    parts = name.split(".")
    return name.startswith("image.norm.") or parts[1] == "blocks" and int(parts[2]) >= foot


def freeze_unreached(model: AltaModel, parts: Collection[str]) -> None:
    """Freeze what is in none of these parts, by our names: "decoder" is decoder… and "logit_scale" that alone."""
    reached = tuple(f"{part}." for part in parts)
    for name, parameter in model.named_parameters():
        if not f"{name}.".startswith(reached):
            parameter.requires_grad_(False)


def set_dropout(module: nn.Module, share: float) -> None:
    """Let every dropout layer of a module drop this share of its input in training."""
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = share


def count_parameters(model: nn.Module) -> ParameterCount:
    """Count a model's parameters."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return ParameterCount(trained, sum(p.numel() for p in model.parameters()))


def group_parameters(
    parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float, shares: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return AdamW's groups of named parameters: biases, vectors and scalars are not decayed, all else is.

    The learned tokens (cls_token, view_embedding, …) are decayed, too. shares: of the learning rate, by part
    (see `name_part`); a group keeps its part's name and share.
    Source: the published code, which takes timm 0.6.12's grouping without its list of exempt names.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in parameters:
        if parameter.requires_grad:
            is_decayed = parameter.ndim > 1 and not name.endswith(".bias")
            groups.setdefault((name_part(name), is_decayed), []).append(parameter)
    return [
        {
            "params": own,
            "weight_decay": weight_decay if is_decayed else 0.0,
            "part": part,
            "share": shares[part],
        }
        for (part, is_decayed), own in sorted(groups.items(), key=lambda item: (item[0][0], not item[0][1]))
    ]


def name_part(name: str) -> str:
    """Tell by our name which part a parameter belongs to: "image" and "text" are towers, "head" all the rest."""
    tower = name.partition(".")[0]
    return tower if tower in ("image", "text") and "projection_head" not in name else "head"
