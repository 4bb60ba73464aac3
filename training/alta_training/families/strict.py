"""Strict loading: a file holds exactly the tensors that its family's tower has, or every misfit is told by name."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from alta_sdk.errors import CheckpointError

SHOWN_NAMES = 8
Shapes = Mapping[str, torch.Size]
Tower = TypeVar("Tower", bound=nn.Module)


def describe_misfits(expected: Shapes, given: Shapes) -> str:
    """Name the tensors that are missing, unexpected or of another shape; an empty text if all fit."""
    kinds = (
        ("missing", sorted(expected.keys() - given.keys())),
        ("unexpected", sorted(given.keys() - expected.keys())),
        ("of another shape", sorted(n for n in expected.keys() & given.keys() if expected[n] != given[n])),
    )
    return "; ".join(f"{kind} {_shown(names)}" for kind, names in kinds if names)


def load_strictly(
    make: Callable[[], Tower], weights: Mapping[str, Tensor], published_name: Callable[[str], str], what: str
) -> Tower:
    """Return the module that `make` makes with the weights in it, in float32 and evaluation mode.

    make: called twice, first without memory for tensors: what a file claims is checked before it is allocated.
    published_name: the name in the file of one of the module's own. what: the file and the model, for the message.
    Raises CheckpointError that names every missing, unexpected or misshapen tensor.
    """
    with torch.device("meta"):
        expected = {published_name(name): tensor.shape for name, tensor in make().state_dict().items()}
    misfits = describe_misfits(expected, {name: tensor.shape for name, tensor in weights.items()})
    if misfits:
        raise CheckpointError(f"{what}: {misfits}")
    module = make()
    own = module.state_dict()
    module.load_state_dict({name: weights[published_name(name)].to(tensor.dtype) for name, tensor in own.items()})
    return module.eval()


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{len(names)} ({', '.join(names[:SHOWN_NAMES])}{more})"
