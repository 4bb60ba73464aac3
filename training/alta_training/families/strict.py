"""Strict loading: a file holds exactly the tensors that its family's tower has, or every misfit is told by name."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from alta_sdk.errors import CheckpointError

SHOWN_NAMES = 8
VARIANCE = ".running_var"  # of batch norms
Tensors = Mapping[str, Tensor]
Tower = TypeVar("Tower", bound=nn.Module)


def describe_misfits(expected: Tensors, given: Tensors) -> str:
    """Name the tensors that are missing, unexpected or of another shape, or else of impossible values.

    An empty text if all fit. Whole numbers are no weights, and a variance is not negative. expected: may be without
    values, on the device "meta".
    """
    kinds: tuple[tuple[str, set[str]], ...] = (
        ("missing", expected.keys() - given.keys()),
        ("unexpected", given.keys() - expected.keys()),
        ("of another shape", {n for n in expected.keys() & given.keys() if expected[n].shape != given[n].shape}),
    )
    if not any(names for _, names in kinds):
        weights = {n for n, own in expected.items() if own.is_floating_point()}
        kinds = (
            ("of whole numbers", {n for n in weights if not given[n].is_floating_point()}),
            ("of negative variances", {n for n in weights if n.endswith(VARIANCE) and bool((given[n] < 0).any())}),
        )
    return "; ".join(f"{kind} {_shown(sorted(names))}" for kind, names in kinds if names)


def tell_size(weights: Mapping[str, Tensor], *told_by: tuple[str, int]) -> int:
    """Return a size that several tensors tell: what most of them say, or the first of these.

    told_by: names, and the axis of each. One tensor that is missing or misshapen is then told by name, and not those
    that fit badly to what it says.
    Raises CheckpointError if none of them is there.
    """
    shapes = [(weights[name].shape, axis) for name, axis in told_by if name in weights]
    sizes = [shape[axis] for shape, axis in shapes if axis < len(shape)]
    if not sizes:
        raise CheckpointError(f"checkpoint is not a whole one: missing {', '.join(name for name, _ in told_by)}")
    size = Counter(sizes).most_common(1)[0][0]
    if size < 1:
        raise CheckpointError(f"checkpoint is not a whole one: {told_by[0][0]} is empty")
    return size


def load_strictly(
    make: Callable[[], Tower], weights: Mapping[str, Tensor], published_name: Callable[[str], str], what: str
) -> Tower:
    """Return the module that `make` makes with the weights in it, in float32 and evaluation mode.

    make: called twice, first without memory for tensors: what a file claims is checked before it is allocated.
    published_name: the name in the file of one of the module's own. what: the file and the model, for the message.
    Raises CheckpointError that names every missing, unexpected or misshapen tensor, or those of impossible values.
    """
    with torch.device("meta"):
        expected = {published_name(name): tensor for name, tensor in make().state_dict().items()}
    misfits = describe_misfits(expected, weights)
    if misfits:
        raise CheckpointError(f"{what}: {misfits}")
    module = make()
    own = module.state_dict()
    module.load_state_dict({name: weights[published_name(name)].to(tensor.dtype) for name, tensor in own.items()})
    return module.eval()


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{len(names)} ({', '.join(names[:SHOWN_NAMES])}{more})"
