"""What keeps an archive small, fast and forgetful: merging its files, its index, old versions; and erasing a study.

Lance keeps every version until it is told not to, and nobody merges files for it.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..errors import EngineError, IntegrityError
from ..files.opening import read_bytes
from ..study.key import KEY_BYTES
from .commit import ERASED, drop_twins, read_erased, writing
from .object_store import is_remote
from .parts import erase_from_parts, open_parts
from .probes import INDEX, MIN_ROWS, Probes, build_index
from .table import open_table, read_origin, take_vectors

NOW = timedelta(0)
MAX_UNINDEXED = 0.2  # a larger share of studies outside of the index, and it is built and measured anew
MAX_FRAGMENTS = 64


def optimize_archive(archive: str) -> Probes | None:
    """Merge small files, build the index of a large archive, measure it, and remove old versions."""
    with writing(archive):
        table = open_table(archive)
        read_origin(table)
        drop_twins(table)
        table = open_table(archive)
        table.optimize.compact_files(materialize_deletions=True, materialize_deletions_threshold=0.0)
        probes = build_index(table)
        clean(table)
        return probes


def needs_upkeep(table: Any) -> bool:
    """Tell whether an archive is in many pieces, or too much of a large one lies outside of its index."""
    rows = table.count_rows()
    indexed = sum(one.num_rows_indexed for one in table.describe_indices() if one.name == INDEX)
    is_unindexed = rows >= MIN_ROWS and rows - indexed > MAX_UNINDEXED * rows
    return bool(is_unindexed or len(table.get_fragments()) > MAX_FRAGMENTS)


def parse_key(text: str) -> bytes:
    """Read a study's key; raise EngineError for what is none."""
    with suppress(ValueError):
        key = bytes.fromhex(text.strip())
        if len(key) == KEY_BYTES:
            return key
    raise EngineError(f"a study's key is {2 * KEY_BYTES} hexadecimal digits, as alta prints it")


def erase_studies(archive: str, keys: Sequence[bytes]) -> int:
    """Remove studies from the archive, its parts, its index and its old versions; return how many were in it.

    Their keys are remembered, so that the same studies never come in again. On a disk every file is read afterwards.
    Raises EngineError if none of them is there, IntegrityError if a vector's bytes are found on the disk.
    """
    sql = "key in (" + ", ".join(f"X'{key.hex()}'" for key in keys) + ")"
    with writing(archive):
        table = open_table(archive)
        read_origin(table)
        gone = take_vectors(table.to_table(columns=["vector"], filter=sql))
        known = {*read_erased(table), *keys}
        table.update_config({ERASED: "[" + ", ".join(f'"{key.hex()}"' for key in sorted(known)) + "]"})
        erase_from_parts(open_parts(archive), keys)
        if len(gone):
            table.delete(sql)
            table = open_table(archive)
            table.optimize.compact_files(materialize_deletions=True, materialize_deletions_threshold=0.0)
            build_index(table)
        clean(table)
    if not is_remote(archive):
        for vector in gone:
            _require_absent(vector.tobytes(), archive)
    return len(gone)


def clean(table: Any) -> None:
    """Remove every version but the last, and what a killed process left."""
    table.cleanup_old_versions(older_than=NOW, delete_unverified=True)


def _require_absent(data: bytes, archive: str) -> None:
    """Raise IntegrityError if a vector's bytes are in a file of the archive or its parts."""
    for folder in (archive, f"{archive.rstrip('/')}.parts"):
        for place, _, files in os.walk(folder):
            if any(data in read_bytes(Path(place) / name) for name in files):
                raise IntegrityError("a copy of the study is still on the disk: run alta archive erase again")
