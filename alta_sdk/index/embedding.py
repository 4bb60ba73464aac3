"""Embed a folder of studies into one index, so that a kill at any moment costs at most one study.

Each study goes to a journal as soon as it is done; the index is written once, at the end, in one step,
and the journal removed after it. So on disk there is the old index, or the new one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..dicom.files import Source, StudyFiles
from ..engine.vectors import Vector
from ..errors import EngineError, StudyError
from ..matching.matcher import Matcher
from ..study.key import SiteKey, identify_study, identify_unreadable
from ..study.lists import StudyEntry, split_folder
from ..study.study import Study
from .journal import EmbeddingJournal, open_journal
from .search import IndexOrigin, ReportIndex


@dataclass(frozen=True)
class EmbeddedStudy:
    """What became of one entry of the folder.

    key: opaque, in hexadecimal. name: of the entry; patient data. error: the class of what was wrong
    with an unreadable one, else "". is_new: False if an earlier run had done it.
    """

    key: str
    name: str
    error: str = ""
    is_new: bool = True
    is_twin: bool = False


def list_entries(folder: Path) -> list[StudyEntry]:
    """Return the studies that lie directly in a folder, by name. Raises StudyError if there are none."""
    studies = split_folder(folder)
    if not studies:
        raise StudyError("folder of studies is empty: put one file, folder or zip for each study into it")
    return studies


def embed_folder(
    matcher: Matcher, entries: list[StudyEntry], out: Path, site_key: SiteKey, read: Callable[[Source], Study]
) -> Iterator[EmbeddedStudy]:
    """Embed each entry and yield what became of it; after the last, the index at `out` is written.

    read: makes a study of an entry, with the engine's intensity profile.

    Studies that the index or an unfinished run already holds are not embedded again; those whose entry
    is gone leave the index. Two entries with one key are one study: the first is taken.
    Raises EngineError for an index of another engine, fusion mode or site key, or if no study is readable.
    """
    engine = matcher.engine
    origin = IndexOrigin("studies", engine.manifest.sha256, matcher.fusion_mode, site_key.fingerprint)
    known = _read_known(out, origin)
    seen: dict[bytes, Vector | None] = {}
    journal_path = out.with_name(out.name + ".journal")

    def embed(files: StudyFiles) -> Vector:
        return matcher.embed(read(files)).vector

    with open_journal(journal_path, origin, engine.manifest.sizes["embedding"]) as journal:
        for entry in entries:
            files, identity = _read_entry(entry)
            key = site_key.sign(identity)
            if seen.get(key) is not None:  # after one that cannot be read, a whole copy is not a twin
                yield EmbeddedStudy(key.hex(), entry.name, is_new=False, is_twin=True)
                continue
            known_vector = known.get(key, journal.done.get(key))
            yield EmbeddedStudy(key.hex(), entry.name, *_embed_entry(files, key, known_vector, journal, embed))
            seen[key] = known[key] if key in known else journal.done[key]
        _write_index(out, seen, origin)
    journal_path.unlink(missing_ok=True)


def _read_entry(entry: StudyEntry) -> tuple[StudyFiles | StudyError, bytes]:
    """Read an entry's files, once; return them, or why they cannot be read, and what the study's key is made of."""
    try:
        files = entry.read()
    except StudyError as error:
        return error, identify_unreadable(entry.paths[0])
    return files, identify_study(files)


def _embed_entry(
    files: StudyFiles | StudyError,
    key: bytes,
    known: Vector | None,
    journal: EmbeddingJournal,
    embed: Callable[[StudyFiles], Vector],
) -> tuple[str, bool]:
    """Embed a study unless that is done; return the class of what was wrong with it, if anything, and if it is new."""
    if known is not None:
        return "", False
    # An unreadable one is tried again: the file may have been mended since.
    try:
        if isinstance(files, StudyError):
            raise files
        vector = embed(files)
    except StudyError as error:
        journal.add(key, None)
        return type(error).__name__, True
    journal.add(key, vector)
    return "", True


def _read_known(out: Path, origin: IndexOrigin) -> dict[bytes, Vector]:
    """Return what an index that is already there holds, by key."""
    if not out.exists():
        return {}
    index = ReportIndex.open(out)
    if index.origin != origin:
        raise EngineError(
            "the index that is there is of another engine, fusion mode or site key: give another --out, or remove it"
        )
    vectors: Any = index.vectors_by_row()
    return {bytes.fromhex(key): vector for key, vector in zip(index.keys, vectors, strict=True)}


def _write_index(out: Path, seen: dict[bytes, Vector | None], origin: IndexOrigin) -> None:
    vectors = {key: vector for key, vector in seen.items() if vector is not None}
    if not vectors:
        raise EngineError("no study could be read: no index was written")
    for leftover in out.parent.glob(f".{escape(out.name)}.*.tmp"):  # of a run that was killed while writing
        leftover.unlink()
    keys = sorted(vectors)  # by key: the order tells nothing about names or dates
    ReportIndex.write(out, np.stack([vectors[key] for key in keys]), keys, origin)
