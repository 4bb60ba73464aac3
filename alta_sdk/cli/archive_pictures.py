"""Small pictures of studies that were found: read of the folder they were embedded from, known there by their keys."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..archive.finding import find_entries
from ..archive.object_store import is_remote
from ..archive.shard import read_study
from ..archive.table import Archive
from ..errors import EngineError, StudyError
from ..study.slots import Slot
from .site_key import open_key
from .terminal import say


def read_pictures(
    archive: Archive, source: str, key_file: str | None, keys: Sequence[str]
) -> dict[str, NDArray[np.uint8]]:
    """Return the frontal radiographs of studies by their keys, as far as the source still has them.

    Raises EngineError for another site key than the archive's: no entry would be known by it.
    """
    beside = Path() if is_remote(archive.uri) else Path(archive.uri).absolute().parent
    site_key = open_key(key_file, beside)
    if site_key.fingerprint != archive.origin.site_key:
        raise EngineError("archive is of another site key: give its key (--key-file), or leave the pictures out")
    entries = find_entries(archive.uri, source, site_key, keys)
    how = {"any_body_part": True, "any_view": True, "any_picture": True, "intensity_profile": archive.origin.profile}
    found = {}
    for key, entry in entries.items():
        try:
            study = read_study(entry, how)
        except StudyError:  # it has changed since: the page says that it was not found
            continue
        found[key] = study.radiographs[Slot.FRONTAL].grey_u8
    if len(found) < len(keys):
        say(f"{len(keys) - len(found)} of {len(keys)} studies were not found there, or cannot be read any more")
    return found
