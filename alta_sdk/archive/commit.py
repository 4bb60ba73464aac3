"""Finished parts go into the archive, by key: a study that is there already stays as it is, so nothing goes in twice.

Two commits at once: on a disk a lock lets one go after the other. In a store nobody can lock, and there Lance lets both
bring in the same keys (by its merge_insert, too): so whatever is there twice afterwards goes, the same rows whoever
removes them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from ..files.locking import hold_lock
from ..study.key import KEY_BYTES
from .extra import require, require_archive
from .object_store import explain_refusal, is_remote, list_storage_options
from .parts import PART, close_part, list_kind, open_parts, read_part
from .schema import ArchiveOrigin, make_schema
from .table import open_table, read_origin

ERASED = "alta.erased"
LOCK_S = 600.0
BATCH_PARTS = 50


def open_or_make(archive: str, origin: ArchiveOrigin) -> Any:
    """Open an archive of this origin, or make an empty one. Raises EngineError for one of another origin."""
    try:
        table = open_table(archive)
    except EngineError as error:
        if "not found" not in str(error):
            raise
        return _make(archive, origin)
    read_origin(table).require_same(origin)
    return table


def commit_parts(archive: str, origin: ArchiveOrigin) -> int:
    """Bring every finished part into the archive; return how many studies are new in it.

    Raises EngineError if the disk or the store refuses: the parts stay, and the next run commits them.
    """
    store = open_parts(archive)
    with writing(archive):
        table = open_or_make(archive, origin)
        known = {*table.to_table(columns=["key"])["key"].to_pylist()}
        before = len(known)
        known.update(read_erased(table))
        names = list_kind(store, PART)
        for start in range(0, len(names), BATCH_PARTS):
            parts = [(name, read_part(store, name, origin)) for name in names[start : start + BATCH_PARTS]]
            there = [(name, part) for name, part in parts if part is not None]
            rows = _stack(there, origin, known)
            if len(rows):
                table.insert(rows)
            for name, part in there:
                close_part(store, name, part)
        table = open_table(archive)
        if is_remote(archive):
            drop_twins(table)
        return int(table.count_rows() - before)


def read_erased(table: Any) -> list[bytes]:
    """Return the keys of studies that were erased, and so never come in again."""
    return [bytes.fromhex(key) for key in json.loads(table.config().get(ERASED, "[]"))]


def drop_twins(table: Any) -> int:
    """Remove what two commits brought in at once, but for the first of each; return how many rows that were."""
    found = table.scanner(columns=["key"], with_row_id=True).to_table()
    ids = found["_rowid"].to_numpy()
    keys = read_keys(found["key"])
    order = np.argsort(ids, kind="stable")
    _, first = np.unique(keys[order], return_index=True)
    twins = np.delete(ids[order], first)
    for start in range(0, len(twins), 1000):
        table.delete(f"_rowid in ({', '.join(str(one) for one in twins[start : start + 1000])})")
    return len(twins)


def read_keys(column: Any) -> NDArray[np.void]:
    """Return a column of keys as an array (n,) of 16 bytes each."""
    joined = b"".join(column.to_pylist())
    return np.frombuffer(joined, dtype=f"V{KEY_BYTES}")


@contextmanager
def writing(archive: str) -> Iterator[None]:
    """Hold an archive on a disk for this process, and tell in one line why Lance or the disk refuses."""
    lock = Path(f"{archive.rstrip('/')}.lock")
    holding = nullcontext() if is_remote(archive) else hold_lock(lock, LOCK_S)
    try:
        with holding:
            yield
    except TimeoutError as error:
        raise EngineError("another process is writing this archive: wait for it, and run again") from error
    except (OSError, RuntimeError, ValueError) as error:  # Lance's are of all three kinds, with addresses in them
        raise EngineError(f"archive cannot be written: {explain_refusal(error)}") from error


def _make(archive: str, origin: ArchiveOrigin) -> Any:
    """Make an empty archive, or open what another has made at this moment.

    As a change of version 0, and tried once: Lance's own way to make a table tries again where another was faster, and
    writes over what that one has brought in meanwhile.
    """
    require_archive()
    lance = require("lance", "archive")
    operation = lance.LanceOperation.Overwrite(make_schema(origin), [])
    how = {"read_version": 0, "max_retries": 0, "storage_options": list_storage_options(archive)}
    try:
        return lance.LanceDataset.commit(archive, operation, **how)
    except OSError as error:
        try:
            made = open_table(archive)
        except EngineError:
            raise error from None
    read_origin(made).require_same(origin)
    return made


def _stack(parts: list[tuple[str, Any]], origin: ArchiveOrigin, known: set[bytes]) -> Any:
    """Return the rows of parts under the archive's columns, each key once, but for those that are known; add those."""
    pa = require("pyarrow", "archive")
    schema, tables = make_schema(origin), []
    for name, part in parts:
        keys = part["key"].to_pylist()
        rows = part.append_column("shard", pa.array([name] * len(part), pa.string()))
        if len(set(keys)) < len(keys) or not known.isdisjoint(keys):
            first = {key: row for row, key in reversed([*enumerate(keys)]) if key not in known}
            rows = rows.take(pa.array(sorted(first.values()), pa.int64()))
        known.update(keys)
        tables.append(rows.select(schema.names).replace_schema_metadata(None))
    return pa.concat_tables(tables).cast(schema) if tables else schema.empty_table()
