"""What is known of each family at export, by the name that its checkpoints are recognised under."""

from alta_sdk.errors import ExportError

from . import alta, biovil, chexzero, open_clip
from .family_export import FamilyExport

EXPORTS: dict[str, FamilyExport] = {
    "alta": alta.EXPORT,
    "biovil-t": biovil.BIOVIL_T_EXPORT,
    "biovil": biovil.BIOVIL_EXPORT,
    "chexzero": chexzero.EXPORT,
    "openai-clip": chexzero.EXPORT,
    "open-clip": open_clip.EXPORT,
}


def find_export(family: str) -> FamilyExport:
    """Return how a family is exported; raise ExportError for one that no export writes."""
    if family not in EXPORTS:
        raise ExportError(f"family is not known; there are: {', '.join(EXPORTS)}")
    return EXPORTS[family]
