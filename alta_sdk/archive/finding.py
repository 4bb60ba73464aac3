"""Where studies of an archive lie, by their keys: told by what finished shards say of their entries."""

from collections.abc import Sequence

from ..errors import EngineError
from ..study.key import SiteKey
from .looking import split_slices
from .manifest import Entry, join_loose, list_source
from .object_store import is_remote
from .parts import open_parts, read_ledger, read_look


def find_entries(archive: str, source: str, site_key: SiteKey, keys: Sequence[str]) -> dict[str, Entry]:
    """Return the entries of studies by their keys in hexadecimal, as far as a source still has them unchanged.

    Nothing is read but names. Raises EngineError for loose files that no run of `alta embed` has looked at.
    """
    store = open_parts(archive)
    listing = list_source(source, site_key)
    slices = [read_look(store, one.name) for one in split_slices(listing.loose)]
    groups = [group for one in slices if one is not None for group in one]
    if len(groups) != len(listing.loose):
        place = "the store" if is_remote(source) else "the folder"
        raise EngineError(f"{place} has changed since the archive was made: run alta embed on it again first")
    known = read_ledger(store).keys
    wanted = set(keys)
    found: dict[str, Entry] = {}
    for entry in join_loose(listing, groups):
        key = known.get(entry.identity, b"").hex()
        if key in wanted:
            found.setdefault(key, entry)
    return found
