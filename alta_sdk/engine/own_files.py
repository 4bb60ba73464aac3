"""Which files of a folder an export or a build wrote: all that `alta-export --overwrite` may delete."""

from pathlib import Path

from ..errors import EngineError
from .bundle import read_manifest
from .manifest import MANIFEST_NAME
from .plans import LOCK, PLANS, TIMING_CACHE
from .signature import SIGNATURE_NAME

# Written after the manifest and so not listed by it; a build that was killed leaves the first ones.
LATER = (*PLANS.values(), TIMING_CACHE, LOCK, SIGNATURE_NAME)


def list_bundle_files(folder: Path) -> set[str]:
    """Return the names of a bundle's own files; none if the folder is no bundle."""
    try:
        manifest = read_manifest(folder)
    except EngineError:  # no manifest of ours, or a damaged one: then nothing tells what is in the folder
        return set()
    return {MANIFEST_NAME, *LATER, *(file.name for file in manifest.files)}
