"""What is to be embedded: a folder, a table or a prefix of a store, as entries, and entries as shards.

Addresses are patient data (hospital paths carry names), so a manifest is never written: it lives in the driver and in
the tasks that it hands out, and what lies on the disk is a keyed hash of each address. Listing reads no study. Loose
DICOM files have to be read to tell which of them are one study (`looking.py`); the tasks do it.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import StudyError
from ..files.tables import read_rows
from ..study.key import KEY_BYTES, SiteKey
from .extra import require
from .object_store import Store, Stored, is_remote, join_uri, name_uri, open_store
from .schema import STATED, ArchiveOrigin

SHARD_STUDIES = 1000
NAME = "table of studies"
TABLES = (".csv", ".parquet")
STUDY = "study"
_NO_FOLDER = "folder of studies cannot be read: No such file or directory; check the path"


@dataclass(frozen=True)
class Entry:
    """One study as it was listed: its files, or the one folder that holds them. stated: what a table says of it.

    uris: patient data. identity: 16 bytes that stand for the address and stamp of all of them.
    """

    uris: tuple[str, ...] = field(repr=False)
    identity: bytes
    is_folder: bool = False
    stated: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Listing:
    """What a source holds before loose files are grouped. loose: files, each of which may be part of a study."""

    entries: tuple[Entry, ...]
    loose: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Shard:
    """Some studies that one task embeds. name: of its part, the same for the same studies and the same origin."""

    name: str
    entries: tuple[Entry, ...] = field(repr=False)

    @classmethod
    def of(cls, entries: Sequence[Entry], origin: ArchiveOrigin) -> "Shard":
        """Name a shard by what is in it, and by what it is embedded with."""
        digest = hashlib.sha256(origin.render())
        for entry in entries:
            digest.update(entry.identity)
        return cls(digest.hexdigest()[: 2 * KEY_BYTES], tuple(entries))

    def halve(self, origin: ArchiveOrigin) -> "tuple[Shard, Shard]":
        """Return its first half and the rest; it has two studies at least."""
        middle = len(self.entries) // 2
        return Shard.of(self.entries[:middle], origin), Shard.of(self.entries[middle:], origin)


def list_source(source: str, site_key: SiteKey) -> Listing:
    """List a folder, a table (CSV or Parquet with a column `study`) or s3://bucket/prefix. Raises StudyError."""
    if source.lower().endswith(TABLES) and (is_remote(source) or not os.path.isdir(source)):
        return Listing(tuple(_list_table(source, site_key)))
    store = open_store(source)
    try:
        found = [one for one in store.list_top() if not one.name.startswith(".")]
    except OSError as error:
        raise StudyError(
            f"folder of studies cannot be read: {error.strerror or 'read error'}; check the path"
        ) from error
    if not found and not store.is_there():
        lacking = "bucket of studies not found: check the address" if is_remote(source) else _NO_FOLDER
        raise StudyError(lacking)
    if not found:
        raise StudyError("folder of studies is empty: put one file, folder or zip for each study into it")
    made = [
        (one, _make_entry((join_uri(source, one.name),), one.stamp, one.is_folder, site_key, one.name)) for one in found
    ]
    folders = tuple(entry for one, entry in made if one.is_folder)
    return Listing(folders, tuple(entry for one, entry in made if not one.is_folder and is_candidate(one)))


def is_candidate(one: Stored) -> bool:
    """Tell by its name whether a file may be of a study: the table of contents of a medium is not."""
    return one.name.upper() != "DICOMDIR"


def join_loose(listing: Listing, groups: Iterable[str | None]) -> tuple[Entry, ...]:
    """Return the entries of a listing with its loose files put together: in the order of their names.

    groups: of each loose file the study that it belongs to, "" for one of its own, None for no study.
    """
    joined: dict[str, list[Entry]] = {}
    for number, (one, group) in enumerate(zip(listing.loose, groups, strict=True)):
        if group is not None:
            joined.setdefault(group or f"/{number}", []).append(one)
    studies = [_join(files) for files in joined.values()]
    return tuple(sorted((*listing.entries, *studies), key=lambda one: name_uri(one.uris[0])))


def split_shards(
    entries: Sequence[Entry],
    origin: ArchiveOrigin,
    is_done: Callable[[bytes], bool],
    *,
    size: int = SHARD_STUDIES,
    share: tuple[int, int] = (0, 1),
) -> list[Shard]:
    """Return the shards that are still to be done.

    is_done: tells it of an entry's identity. share: (i, n) takes the i-th of n parts of the whole, from 0, which does
    not change with what is done: so n processes that know nothing of each other share the work.
    """
    number, count = share
    blocks = [entries[start : start + size] for start in range(0, len(entries), size)][number::count]
    shards, left = [], []
    for block in blocks:
        open_ones = [entry for entry in block if not is_done(entry.identity)]
        if len(open_ones) == len(block):  # as any other driver has it that begins now
            shards.append(Shard.of(block, origin))
        else:
            left += open_ones
    return shards + [Shard.of(left[start : start + size], origin) for start in range(0, len(left), size)]


def _list_table(source: str, site_key: SiteKey) -> Iterable[Entry]:
    rows = _read_parquet(source) if source.lower().endswith(".parquet") else _read_csv(source)
    base = source.rpartition("/")[0] if is_remote(source) else str(Path(source).parent)
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        given = row[STUDY].strip()
        if not given or given in seen:
            why = "is there twice" if given else "is empty"
            raise StudyError(f"row {number} of the {NAME}: the study {why}; give each study once")
        seen.add(given)
        uri = given if is_remote(given) else join_uri(base, given)
        stated = {name: row[name].strip() for name in STATED if row.get(name, "").strip()}
        yield _stamp(uri, given, stated, site_key)


def _stamp(uri: str, given: str, stated: Mapping[str, str], site_key: SiteKey) -> Entry:
    """Make an entry of a row: what is missing is told when its shard is read."""
    stamp, is_folder = "", False
    if not is_remote(uri):
        is_folder = os.path.isdir(uri)
        try:
            found = os.stat(uri)
            stamp = "" if is_folder else f"{found.st_size} {found.st_mtime_ns}"
        except (OSError, ValueError):
            stamp = "missing"
    return _make_entry((uri,), stamp, is_folder, site_key, given, stated)


def _read_csv(source: str) -> list[dict[str, str]]:
    if is_remote(source):
        raise StudyError(f"{NAME} in a store must be a Parquet file: or copy the CSV file here")
    return read_rows(Path(source), [STUDY], error=StudyError, name=NAME)


def _read_parquet(source: str) -> list[dict[str, str]]:
    pa, parquet = require("pyarrow", "archive"), require("pyarrow.parquet", "archive")
    folder, _, name = source.rpartition("/")
    try:
        store: Store = open_store(folder or ".")
        table = parquet.read_table(pa.BufferReader(store.read(name)))
    except FileNotFoundError as error:
        raise StudyError(f"{NAME} not found: give a CSV or Parquet file") from error
    except (OSError, pa.ArrowException) as error:
        raise StudyError(f"{NAME} cannot be read: it is damaged or no Parquet file") from error
    if STUDY not in table.column_names or not len(table):
        raise StudyError(f"{NAME} lacks the column {STUDY}, or has no row")
    wanted = table.select([name for name in (STUDY, *STATED) if name in table.column_names])
    return [{name: "" if cell is None else str(cell) for name, cell in row.items()} for row in wanted.to_pylist()]


def _make_entry(
    uris: tuple[str, ...],
    stamp: str,
    is_folder: bool,
    site_key: SiteKey,
    name: str,
    stated: Mapping[str, str] | None = None,
) -> Entry:
    """name: of the entry where it was listed, so that a folder that moves as a whole keeps its entries."""
    text = f"entry\0{stamp}\0{name}"
    return Entry(uris, site_key.sign(text.encode("utf-8", "surrogatepass")), is_folder, stated or {})


def _join(files: Sequence[Entry]) -> Entry:
    """Return loose files of one study as one entry."""
    if len(files) == 1:
        return files[0]
    digest = hashlib.sha256(b"".join(one.identity for one in files)).digest()[:KEY_BYTES]
    return Entry(tuple(uri for one in files for uri in one.uris), digest)
