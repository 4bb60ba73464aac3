"""Opaque keys turned back into what the site knows: by a run's table, or by looking through the studies themselves.

The table is one that `alta embed --csv` or `alta score --csv` wrote with --with-identifiers; any CSV file with columns
key and path will do. A folder of studies is read, and its keys are made with the site key, which has to be the index's.
"""

import os
from pathlib import Path

from ..errors import StudyError
from ..files.shown import escape_bytes
from ..files.tables import read_rows
from ..index.search import IndexOrigin
from ..study.key import identify_study, identify_unreadable
from ..study.lists import split_folder
from .site_key import open_key
from .terminal import show_progress

QUOTE = "'"  # before a cell that a spreadsheet would run (files/tables.py)


def read_known_studies(source: str, origin: IndexOrigin, key_file: str | None, beside: Path) -> dict[str, str]:
    """Return the path of each study that is known, by key.

    beside: the folder of the index. Raises StudyError for a table or folder that cannot be read, or that is made with
    another site key than the index; EngineError for a site key that cannot be used.
    """
    if origin.kind != "studies":
        raise StudyError("--studies names the studies of an index that alta embed wrote: this one is of reports")
    return _read_folder(Path(source), origin, key_file, beside) if os.path.isdir(source) else _read_table(Path(source))


def _read_table(path: Path) -> dict[str, str]:
    rows = read_rows(path, ("key", "path"), error=StudyError, name="table of studies")
    return {row["key"]: row["path"].removeprefix(QUOTE) for row in rows if row["key"]}


def _read_folder(folder: Path, origin: IndexOrigin, key_file: str | None, beside: Path) -> dict[str, str]:
    site_key = open_key(key_file, beside)
    if site_key.fingerprint != origin.site_key:
        raise StudyError("index was made with another site key: give that one (--key-file), or the table of its run")
    entries = split_folder(folder)
    known: dict[str, str] = {}
    for entry in show_progress(entries, len(entries), "studies"):
        try:
            identity = identify_study(entry.read())
        except StudyError:
            identity = identify_unreadable(entry.paths[0])
        known.setdefault(site_key.sign(identity).hex(), escape_bytes(str(entry.paths[0])))
    return known
