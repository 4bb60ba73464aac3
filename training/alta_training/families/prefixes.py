"""Names of tensors as other programs wrap them: DataParallel's "module.", torch.compile's, Lightning's "model."."""

from collections.abc import Mapping

from torch import Tensor

from alta_sdk.errors import CheckpointError

WRAPPERS = ("module.", "_orig_mod.")  # DataParallel and DistributedDataParallel; torch.compile
ANCHOR = "patch_embed.proj.weight"  # what every image tower has, and no other part of a model
OWN = "visual.trunk."  # of open_clip's published names, with its text tower beside it: no prefix


def strip_prefix(weights: Mapping[str, Tensor], file: str) -> dict[str, Tensor]:
    """Return tensors by their published names: without what wrappers and an outer module put before all of them.

    Raises CheckpointError if the towers stand under a prefix that other tensors do not have, or under several.
    """
    names = list(weights)
    start = 0
    while names and (wrapper := next((one for one in WRAPPERS if all(_at(name, one, start) for name in names)), "")):
        start += len(wrapper)
    short = {name[start:]: tensor for name, tensor in weights.items()}
    found = [name.removesuffix(ANCHOR) for name in short if name.endswith(f".{ANCHOR}") and not name.startswith(OWN)]
    if ANCHOR in short or not found:
        return short
    prefix = found[0]
    others = sum(not name.startswith(prefix) for name in short)
    if len(found) > 1 or others:
        where = f"under {len(found)} prefixes" if len(found) > 1 else f'under "{prefix}", and {others} tensors are not'
        raise CheckpointError(f"checkpoint {file}: its image tower stands {where}; save the model's own state_dict")
    return {name.removeprefix(prefix): tensor for name, tensor in short.items()}


def _at(name: str, part: str, start: int) -> bool:
    return name.startswith(part, start) and len(name) > start + len(part)
