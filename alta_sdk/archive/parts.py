"""What a shard leaves beside the archive until it is committed, and what is known of it afterwards.

    NAME.parquet         the studies of a finished shard: entry, key, vector and what else is a column
    NAME.dead.parquet    those that could not be read: entry, key, the class of the error; never a path or a message
    NAME.done.parquet    in place of NAME.parquet once it is committed: entry and key, without vectors
    NAME.looked.parquet  of loose files, which of them are one study

An entry is what was listed (a folder, a zip, files of one study), by a keyed hash of its address and its stamp: so a
file that changed is another entry, and nothing here says where anything lies.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine.vectors import Vector
from ..errors import EngineError
from ..study.key import KEY_BYTES
from .extra import require
from .object_store import Store, open_store
from .schema import METADATA, ArchiveOrigin, make_row_schema

FOLDER = ".parts"
PART, DEAD, DONE, LOOKED = ".parquet", ".dead.parquet", ".done.parquet", ".looked.parquet"
CRASH = "crash"  # the class of a study that ends the process which reads it, each time


@dataclass(frozen=True)
class EmbeddedRow:
    """One study of a shard, by its entry and its key. columns: whatever else its row holds."""

    entry: bytes
    key: bytes
    columns: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class DeadRow:
    """A study that could not be read: its entry, its key and the class of what was wrong."""

    entry: bytes
    key: bytes
    error: str


@dataclass(frozen=True)
class Ledger:
    """What is done already: the key of each entry, and the class of the error of each that could not be read."""

    keys: Mapping[bytes, bytes]
    dead: Mapping[bytes, str]

    def __contains__(self, entry: object) -> bool:
        """Tell whether an entry is done."""
        return entry in self.keys or entry in self.dead


def open_parts(archive: str) -> Store:
    """Open the folder of parts that lies beside an archive."""
    return open_store(archive.rstrip("/") + FOLDER)


def list_kind(store: Store, kind: str) -> list[str]:
    """Return the names of the shards that left a file of one kind, in order."""
    others = [one for one in (DEAD, DONE, LOOKED) if one != kind]
    names = [one.name for one in store.list_top() if not one.is_folder and not one.name.startswith(".")]
    return [
        name.removesuffix(kind)
        for name in names
        if name.endswith(kind) and (kind != PART or not any(name.endswith(one) for one in others))
    ]


def write_part(
    store: Store, name: str, origin: ArchiveOrigin, rows: Sequence[EmbeddedRow], dead: Sequence[DeadRow]
) -> None:
    """Write what became of a shard: first those that could not be read, then the part, which says that it is done."""
    pa = require("pyarrow", "archive")
    if dead:
        table = pa.table([[one.entry for one in dead], [one.key for one in dead], [one.error for one in dead]], _dead())
        store.write(name + DEAD, _to_parquet(table))
    schema = _part_schema(origin)
    columns: dict[str, list[Any]] = {one.name: [] for one in schema}
    for row in rows:
        values = {"entry": row.entry, "key": row.key, **row.columns, "vector": pack_vectors(row.columns["vector"])}
        for column, cells in columns.items():
            cells.append(values.get(column))
    arrays = [pa.array(columns[one.name], one.type) for one in schema]
    store.write(name + PART, _to_parquet(pa.Table.from_arrays(arrays, schema=schema)))


def pack_vectors(vectors: Vector) -> bytes:
    """Return vectors as they lie in a part: Parquet reads lists of numbers one by one, and bytes at once."""
    return vectors.astype("<f4").tobytes()


def _unpack_vectors(table: Any, width: int) -> Any:
    pa = require("pyarrow", "archive")
    packed = table["vector"].combine_chunks()
    numbers = np.frombuffer(packed.buffers()[1] or b"", dtype="<f4")[: len(table) * width]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(numbers, pa.float32()), width)
    return table.set_column(table.schema.get_field_index("vector"), "vector", vectors)


def read_part(store: Store, name: str, origin: ArchiveOrigin) -> Any:
    """Return a part's table, or None if another has committed it meanwhile. EngineError for another origin's."""
    try:
        table = _from_parquet(store.read(name + PART))
    except FileNotFoundError:
        return None
    origin.require_same(ArchiveOrigin.parse((table.schema.metadata or {}).get(METADATA)))
    return _unpack_vectors(table, origin.width)


def close_part(store: Store, name: str, table: Any) -> None:
    """Keep of a committed part which entries and keys were in it, and remove its vectors."""
    store.write(name + DONE, _to_parquet(table.select(["entry", "key"]).replace_schema_metadata(None)))
    store.remove(name + PART)


def erase_from_parts(store: Store, keys: Iterable[bytes]) -> None:
    """Take studies out of parts that are not committed yet; what a killed run left half-written goes as well."""
    pc = require("pyarrow.compute", "archive")
    pa = require("pyarrow", "archive")
    wanted = pa.array(list(keys), pa.binary(KEY_BYTES))
    for name in list_kind(store, PART):
        table = _from_parquet(store.read(name + PART))
        kept = table.filter(pc.invert(pc.is_in(table["key"], value_set=wanted)))
        if len(kept) < len(table):
            store.write(name + PART, _to_parquet(kept))
    for one in store.list_top():
        if one.name.startswith(".") and one.name.endswith(".tmp"):
            store.remove(one.name)


def read_ledger(store: Store) -> Ledger:
    """Return what finished shards say of their entries."""
    keys: dict[bytes, bytes] = {}
    for kind in (DONE, PART):
        for name in list_kind(store, kind):
            try:
                table = _from_parquet(store.read(name + kind), ["entry", "key"])
            except FileNotFoundError:  # committed at this moment
                table = _from_parquet(store.read(name + DONE), ["entry", "key"])
            keys.update(zip(table["entry"].to_pylist(), table["key"].to_pylist(), strict=True))
    dead = {row.entry: row.error for row in read_dead(store) if row.entry not in keys}
    return Ledger(keys, dead)


def read_dead(store: Store) -> list[DeadRow]:
    """Return every study that could not be read."""
    found: list[DeadRow] = []
    for name in list_kind(store, DEAD):
        table = _from_parquet(store.read(name + DEAD))
        found += [DeadRow(**row) for row in table.to_pylist()]
    return found


def forget_dead(store: Store) -> None:
    """Remove the record of those that could not be read, so that they are tried again."""
    for name in list_kind(store, DEAD):
        store.remove(name + DEAD)


def count_dead(rows: Iterable[DeadRow]) -> dict[str, int]:
    """Return how many could not be read, by the class of what was wrong."""
    return dict(sorted(Counter(row.error for row in rows).items()))


def write_look(store: Store, name: str, groups: Sequence[str | None]) -> None:
    """Keep of each loose file of a slice which study it belongs to, "" for its own, None for no study."""
    pa = require("pyarrow", "archive")
    store.write(name + LOOKED, _to_parquet(pa.table({"group": pa.array(groups, pa.string())})))


def read_look(store: Store, name: str) -> list[str | None] | None:
    """Return what `write_look` kept, None if that slice was not looked at."""
    try:
        found: list[str | None] = _from_parquet(store.read(name + LOOKED))["group"].to_pylist()
    except FileNotFoundError:
        return None
    return found


def _part_schema(origin: ArchiveOrigin) -> Any:
    pa = require("pyarrow", "archive")
    rows = make_row_schema(origin)
    entry = pa.field("entry", pa.binary(KEY_BYTES), nullable=False)
    packed = pa.field("vector", pa.binary(4 * origin.width), nullable=False)
    fields = [packed if one.name == "vector" else one for one in rows]
    return pa.schema([entry, *fields], metadata={METADATA: origin.render()})


def _dead() -> Any:
    pa = require("pyarrow", "archive")
    return pa.schema([("entry", pa.binary(KEY_BYTES)), ("key", pa.binary(KEY_BYTES)), ("error", pa.string())])


def _to_parquet(table: Any) -> bytes:
    pa, parquet = require("pyarrow", "archive"), require("pyarrow.parquet", "archive")
    sink = pa.BufferOutputStream()
    # Vectors and keys do not compress; dictionaries of them would cost time and bytes.
    parquet.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
    return bytes(sink.getvalue())


def _from_parquet(data: bytes, columns: list[str] | None = None) -> Any:
    pa, parquet = require("pyarrow", "archive"), require("pyarrow.parquet", "archive")
    try:
        return parquet.read_table(pa.BufferReader(data), columns=columns)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise EngineError(
            "a part beside the archive is damaged: remove that .parquet file, and run `alta embed` again"
        ) from error
