"""The families that are known, and which of them a checkpoint is of: told by its tensors' names alone."""

from collections.abc import Iterable

from alta_sdk.errors import CheckpointError

from .alta import ALTA
from .biovil import BIOVIL, BIOVIL_T
from .chexzero import CHEXZERO, OPENAI_CLIP
from .family import Family
from .open_clip import OPEN_CLIP

FAMILIES: tuple[Family, ...] = (ALTA, BIOVIL_T, BIOVIL, CHEXZERO, OPENAI_CLIP, OPEN_CLIP)


def find_family(name: str) -> Family:
    """Return the family of a name; raise CheckpointError for one that is not known."""
    found = next((family for family in FAMILIES if family.name == name), None)
    if found is None:
        raise CheckpointError(f"family is not known; there are: {', '.join(family.name for family in FAMILIES)}")
    return found


def recognise(weights: Iterable[str], families: tuple[Family, ...] = FAMILIES) -> Family:
    """Return the family of a checkpoint.

    weights: its tensors' published names, or tensors by such names.
    Raises CheckpointError that lists what was looked for unless exactly one family knows them.
    """
    names = frozenset(weights)
    found = [family for family in families if family.recognises(names)]
    if len(found) == 1:
        return found[0]
    known = "; ".join(f"{family.name} ({', '.join(family.looks_for)})" for family in found or families)
    if found:
        raise CheckpointError(f"checkpoint is of several families at once: {known}; give a file with one model")
    raise CheckpointError(f"checkpoint is of no family that is known; looked for: {known}")
