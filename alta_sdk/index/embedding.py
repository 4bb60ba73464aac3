"""Embed a folder of studies into one index, so that a kill at any moment costs at most one study.

Each study goes to a journal as soon as it is done; the index is written once, at the end, in one step,
and the journal removed after it. So on disk there is the old index, or the new one. The index is read, changed and
written while the journal is held, so that two runs cannot lose each other's studies.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..dicom.files import Source
from ..engine.fusion import tell_used_mode
from ..engine.vectors import Vector
from ..errors import EngineError, StudyError
from ..files.atomic import name_sibling
from ..files.opening import check_name
from ..files.targets import check_replaceable
from ..matching.audit_log import about, note_refused
from ..matching.embeddings import StudyEmbedding
from ..matching.matcher import Matcher
from ..matching.stream import stream_studies
from ..study.key import SiteKey, identify_study, identify_unreadable
from ..study.lists import StudyEntry, split_folder
from ..study.naming import Failure, StudyName, StudyNamer
from ..study.study import Study
from .file import is_index
from .journal import EmbeddingJournal, open_journal
from .search import IndexOrigin, ReportIndex


@dataclass(frozen=True)
class EmbeddedStudy:
    """What became of one entry of the folder.

    study: its number among the entries, and its key. name: of the entry; patient data. failure: what was wrong with an
    unreadable one. is_new: False if an earlier run had done it. is_twin: an earlier entry is the same study.
    """

    study: StudyName
    name: str = field(repr=False)
    failure: Failure | None = None
    is_new: bool = True
    is_twin: bool = False

    @property
    def key(self) -> str:
        """The opaque key, in hexadecimal."""
        return self.study.key

    @property
    def error(self) -> str:
        """The class of what was wrong with an unreadable one, else nothing."""
        return "" if self.failure is None else self.failure.kind


def list_entries(folder: Path) -> list[StudyEntry]:
    """Return the studies that lie directly in a folder, by name. Raises StudyError if there are none."""
    studies = split_folder(folder)
    if not studies:
        raise StudyError("folder of studies is empty: put one file, folder or zip for each study into it")
    return studies


def check_index_target(out: Path) -> None:
    """Raise EngineError if no index can be written at `out`: before studies are read, and before a key is made."""
    if os.path.exists(out):
        if not os.path.isfile(out):
            raise EngineError("index cannot be written: --out is no plain file; give the name of one")
        check_replaceable(out, "index", is_index, EngineError)
    try:
        check_name(out)
        probe = name_sibling(Path(os.path.realpath(out)), "tmp")
        try:
            probe.write_bytes(b"\0")
        finally:
            with suppress(OSError):
                probe.unlink()
    except OSError as error:
        raise EngineError(f"index cannot be written: {error.strerror}; check --out, its folder and the disk") from error


def embed_folder(
    matcher: Matcher,
    entries: list[StudyEntry],
    out: Path,
    site_key: SiteKey,
    read: Callable[[Source], Study],
    tell: Callable[[Study], object] = lambda study: None,
    *,
    with_identifiers: bool = False,
) -> Iterator[EmbeddedStudy]:
    """Embed each entry and yield what became of it; after the last, the index at `out` is written.

    read: makes a study of an entry, with the engine's intensity profile; called by several threads, for entries that
    come next, too. tell: is told each study that is embedded. with_identifiers: say who each is, too.

    Studies that the index or an unfinished run already holds are not embedded again; those whose entry
    is gone leave the index. Two entries with one key are one study: the first is taken.
    Raises EngineError for an index of another engine, fusion mode or site key, or if no study is readable.
    """
    engine, out = matcher.engine, Path(os.path.realpath(out))  # one index has one journal, whatever links lead to it
    mode = find_index_mode(matcher)
    origin = IndexOrigin("studies", engine.manifest.sha256, mode, site_key.fingerprint)
    with open_journal(out.with_name(out.name + ".journal"), origin, engine.manifest.sizes["embedding"]) as journal:
        known = _read_known(out, origin)
        run = _Run(site_key, known, journal, matcher, mode, read, tell, StudyNamer(None, with_identifiers))
        numbered = enumerate(entries, start=1)
        with closing(stream_studies(numbered, run.read_entry, (matcher,), _find_study)) as stream:
            for one in stream:
                if isinstance(one, StudyError):  # for mypy: `read_entry` keeps them
                    raise one
                yield run.embed(one)
        _write_index(out, run.seen, origin)


def find_index_mode(matcher: Matcher) -> str:
    """Return the fusion mode of an index of studies that are read one by one, and so without their priors."""
    return tell_used_mode(matcher.fusion_mode, ())


def _take_vector(embedding: StudyEmbedding, mode: str) -> Vector:
    if embedding.mode != mode:
        raise EngineError("a study with a prior does not go into an index of studies without: leave the prior out")
    return embedding.vector


@dataclass(frozen=True, eq=False)
class _ReadEntry:
    """A study's name, its entry's, its key, and the study, why it cannot be read, or None if it is embedded already.

    Its files are let go of where it was read.
    """

    named: StudyName
    name: str = field(repr=False)
    key: bytes
    study: Study | StudyError | None


def _find_study(one: object, _: object) -> Study | None:
    return one.study if isinstance(one, _ReadEntry) and isinstance(one.study, Study) else None


@dataclass(frozen=True, eq=False)
class _Run:
    """What a run has: the vectors of an index that was there, by key, its journal, and what it has seen so far."""

    site_key: SiteKey
    known: Mapping[bytes, Vector]
    journal: EmbeddingJournal
    matcher: Matcher
    mode: str
    read: Callable[[Source], Study]
    tell: Callable[[Study], object]
    namer: StudyNamer
    seen: dict[bytes, Vector | None] = field(default_factory=dict)

    def read_entry(self, numbered: tuple[int, StudyEntry]) -> _ReadEntry:
        """Read an entry's files, once, and make a study of them unless that is done; for any thread."""
        number, entry = numbered
        path = entry.paths[0]
        try:
            files = entry.read()
        except StudyError as error:
            key = self.site_key.sign(identify_unreadable(path))
            return _ReadEntry(replace(self.namer.name(number, path), key=key.hex()), entry.name, key, error)
        key = self.site_key.sign(identify_study(files))
        named = replace(self.namer.name(number, path, files), key=key.hex())
        if self._find_done(key) is not None:
            return _ReadEntry(named, entry.name, key, None)
        try:
            return _ReadEntry(named, entry.name, key, self.read(files))
        except StudyError as error:
            return _ReadEntry(named, entry.name, key, error)

    def embed(self, one: _ReadEntry) -> EmbeddedStudy:
        """Embed what was read of an entry unless that is done."""
        key = one.key
        if self.seen.get(key) is not None:  # after one that cannot be read, a whole copy is not a twin
            return EmbeddedStudy(one.named, one.name, is_new=False, is_twin=True)
        done = self._find_done(key)
        if done is not None:
            self.seen[key] = done
            return EmbeddedStudy(one.named, one.name, is_new=False)
        failure = self._embed_new(one.study, key)
        self.seen[key] = self.journal.done[key]
        return EmbeddedStudy(one.named, one.name, failure)

    def _find_done(self, key: bytes) -> Vector | None:
        return self.known.get(key, self.journal.done.get(key))

    def _embed_new(self, study: Study | StudyError | None, key: bytes) -> Failure | None:
        """Embed a study into the journal; return what is wrong with it, if something is.


        One that could not be read by an earlier run is tried again: it may have been mended since.
        """
        try:
            if isinstance(study, StudyError):
                raise study
            assert study is not None  # what is not done was read
            self.tell(study)
            with about(self.matcher.audit, key.hex()):
                vector = _take_vector(self.matcher.embed(study), self.mode)
        except StudyError as error:
            self.journal.add(key, None)
            with about(self.matcher.audit, key.hex()):
                note_refused(self.matcher.audit, type(error).__name__)
            return Failure.of(error)
        self.journal.add(key, vector)
        return None


def _read_known(out: Path, origin: IndexOrigin) -> dict[bytes, Vector]:
    """Return what an index that is already there holds, by key."""
    if not os.path.exists(out):
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
    _remove_leftovers(out)
    keys = sorted(vectors)  # by key: the order tells nothing about names or dates
    ReportIndex.write(out, np.stack([vectors[key] for key in keys]), keys, origin)


def _remove_leftovers(out: Path) -> None:
    """Remove what a run left that was killed while writing; a folder that cannot be listed keeps it."""
    of_ours = re.compile(re.escape(f".{out.name}.") + "[0-9a-f]{12}[.]tmp")
    with suppress(OSError):
        for leftover in out.parent.iterdir():
            if of_ours.fullmatch(leftover.name):
                with suppress(OSError):
                    leftover.unlink()
