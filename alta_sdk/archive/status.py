"""What is in an archive and how it fares: counts, sizes, what waits, what a search reads."""

import os
from pathlib import Path
from typing import Any

from .commit import read_erased
from .object_store import is_remote
from .parts import DONE, PART, count_dead, list_kind, open_parts, read_dead
from .probes import INDEX
from .table import Archive


def read_status(uri: str) -> dict[str, Any]:
    """Return the state of an archive as plain types, ready for JSON."""
    archive = Archive(uri)
    store, rows = open_parts(uri), len(archive)
    indexed = sum(one.num_rows_indexed for one in archive.table.describe_indices() if one.name == INDEX)
    probes = archive.probes
    return {
        "studies": rows,
        "erased": len(read_erased(archive.table)),
        "unreadable": count_dead(read_dead(store)),
        "shards_committed": len(list_kind(store, DONE)),
        "parts_waiting": len(list_kind(store, PART)),
        "fragments": len(archive.table.get_fragments()),
        "versions": len(archive.table.versions()),
        "bytes": None if is_remote(uri) else count_bytes(Path(uri)),
        "bytes_of_vectors": 4 * archive.origin.width * rows,
        "search": "exact" if probes is None else "measured",
        "indexed": int(indexed),
        "probes": None if probes is None else vars(probes),
        "labels": list(archive.origin.labels),
        "has_dates": archive.origin.has_dates,
        "engine": archive.origin.engine,
        "fusion_mode": archive.origin.mode,
        "intensity_profile": archive.origin.profile,
    }


def count_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum((Path(place) / name).stat().st_size for place, _, files in os.walk(folder) for name in files)
