"""Which parameters train: the adapters, all layer norms, heads and tokens; everything else stays frozen.

The rule gives the published set of names, which a test holds against the published code's own list. Of
these a run trains what its objectives reach.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from torch import nn

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


def freeze_backbones(model: AltaModel) -> ParameterCount:
    """Let the published set of parameters train and freeze the rest; return the counts."""
    parts = (*ADAPTERS[model.sizes.image.adapter].trained_parts, *TRAINED_PARTS)
    for name, parameter in model.named_parameters():
        own = published_name(name)
        parameter.requires_grad_(own in TRAINED_NAMES or any(part in own.lower() for part in parts))
    return count_parameters(model)


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


def group_parameters(parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, object]]:
    """Return AdamW's groups of named parameters: biases, vectors and scalars are not decayed, all else is.

    The learned tokens (cls_token, view_embedding, …) are decayed, too.
    Source: the published code, which takes timm 0.6.12's grouping without its list of exempt names.
    """
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for name, parameter in parameters:
        if parameter.requires_grad:
            (kept if parameter.ndim <= 1 or name.endswith(".bias") else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
