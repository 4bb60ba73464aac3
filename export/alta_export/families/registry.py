"""What is known of each family at export, by the name that its checkpoints are recognised under."""

from alta_sdk.errors import ExportError
from alta_training.families.asking import Asking

from . import alta, biovil, chexzero, open_clip

ASKING_BY_FAMILY: dict[str, Asking] = {
    "alta": alta.ASKING,
    "biovil-t": biovil.ASKING,
    "biovil": biovil.ASKING,
    "chexzero": chexzero.ASKING,
    "open-clip": open_clip.ASKING,
}


def find_asking(family: str) -> Asking:
    """Return how a family is asked; raise ExportError for one that no export writes."""
    if family not in ASKING_BY_FAMILY:
        raise ExportError(f"family is not known; there are: {', '.join(ASKING_BY_FAMILY)}")
    return ASKING_BY_FAMILY[family]
