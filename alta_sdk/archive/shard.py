"""The unit of work: some studies in, one part beside the archive out. The same function runs on every engine.

A task is called in a process of a pool, of Ray or of Dask, with a job (what all tasks of a run share) and a shard.
The engine is opened once in each process. What a study is like stays in its row; what could not be read is told by
the class of its error. The site's secret is no argument: each process reads the key file that its environment names.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..dicom.files import StudyFiles, read_files
from ..engine.fusion import name_plain_mode, tell_used_mode
from ..errors import EngineError, StudyError
from ..matching.embeddings import StudyEmbedding
from ..matching.matcher import Matcher
from ..matching.prompts import Labels
from ..study.key import SiteKey, identify_study, identify_unreadable, open_site_key
from ..study.study import Study, load_study
from .describing import describe_study
from .manifest import Entry, Shard, is_candidate
from .object_store import is_remote, name_uri, open_store
from .parts import CRASH, DeadRow, EmbeddedRow, open_parts, write_part
from .schema import ArchiveOrigin, name_score


@dataclass(frozen=True)
class ShardJob:
    """What every task of a run is told.

    archive: the address of the table. engine, trust: paths, the same on every machine. reading: of `load_study`.
    labels: what is scored, or nothing; origin.labels are their names.
    """

    archive: str
    origin: ArchiveOrigin
    engine: str
    threads: int | None = 1
    trust: str | None = None
    labels: Labels | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardOutcome:
    """What became of a shard: its studies, those that could not be read by the class of the error, and its cost."""

    name: str
    studies: int
    dead: Mapping[str, int]
    processor_s: float = 0.0


def embed_shard(job: ShardJob, shard: Shard) -> ShardOutcome:
    """Embed the studies of a shard and write its part.

    Raises EngineError for another engine or site key than the driver's, and where the store refuses.
    """
    began = time.process_time()
    matcher, site_key = open_matcher(job), open_key(job)
    rows: list[EmbeddedRow] = []
    dead: list[DeadRow] = []
    for entry in shard.entries:
        found = _embed_entry(entry, job, matcher, site_key)
        if isinstance(found, DeadRow):
            dead.append(found)
        else:
            rows.append(found)
    write_part(open_parts(job.archive), shard.name, job.origin, rows, dead)
    counts = Counter(one.error for one in dead)
    return ShardOutcome(shard.name, len(rows), dict(counts), time.process_time() - began)


def bury_shard(job: ShardJob, shard: Shard, site_key: SiteKey) -> ShardOutcome:
    """Write down that the one study of a shard ends whatever process reads it."""
    (entry,) = shard.entries
    key = site_key.sign(identify_unreadable(name_uri(entry.uris[0])))
    write_part(open_parts(job.archive), shard.name, job.origin, [], [DeadRow(entry.identity, key, CRASH)])
    return ShardOutcome(shard.name, 0, {CRASH: 1})


def read_entry(entry: Entry) -> tuple[StudyFiles | StudyError, bytes]:
    """Read an entry's files; return them, or why they cannot be read, and what the study's key is made of.

    Raises EngineError where a store refuses: that says nothing about the study.
    """
    try:
        files = read_files(_read_remote(entry) if is_remote(entry.uris[0]) else _list_paths(entry))
    except FileNotFoundError:
        return StudyError("study not found"), identify_unreadable(name_uri(entry.uris[0]))
    except StudyError as error:
        return error, identify_unreadable(name_uri(entry.uris[0]))
    return files, identify_study(files)


def _embed_entry(entry: Entry, job: ShardJob, matcher: Matcher, site_key: SiteKey) -> EmbeddedRow | DeadRow:
    files, identity = read_entry(entry)
    key = site_key.sign(identity)
    try:
        if isinstance(files, StudyError):
            raise files
        study = load_study(files, **job.reading)
        embedding = matcher.embed(study)
    except StudyError as error:
        return DeadRow(entry.identity, key, type(error).__name__)
    if embedding.mode != job.origin.mode:
        raise EngineError("a study with a prior does not go into an archive of studies without: leave the prior out")
    columns = {"vector": embedding.vector, **describe_study(study, files, entry.stated)}
    return EmbeddedRow(entry.identity, key, {**columns, **_score(embedding, job, matcher)})


def _score(embedding: StudyEmbedding, job: ShardJob, matcher: Matcher) -> dict[str, float]:
    if job.labels is None:
        return {}
    scores = matcher.zero_shot(embedding, job.labels).scores
    return {name_score(label): scores[label] for label in job.origin.labels}


def _list_paths(entry: Entry) -> Path | list[Path]:
    return Path(entry.uris[0]) if len(entry.uris) == 1 else [Path(uri) for uri in entry.uris]


def _read_remote(entry: Entry) -> Any:
    """Return the bytes of an object, or of all objects of a study, in the order of their names."""
    folder, _, name = entry.uris[0].rstrip("/").rpartition("/")
    store = open_store(folder)
    if entry.is_folder:
        members = [one.name for one in store.walk(name) if is_candidate(one)]
        return [store.read(f"{name}/{member}") for member in members]
    data = [store.read(uri.rpartition("/")[2]) for uri in entry.uris]
    return data[0] if len(data) == 1 else data


def open_matcher(job: ShardJob) -> Matcher:
    """Open the job's engine, once in a process. Raises EngineError if another engine lies there."""
    matcher = _open_matcher(job.engine, job.threads, job.origin.mode, job.trust)
    if matcher.engine.manifest.sha256 != job.origin.engine:
        raise EngineError("a worker found another engine than the driver's at its path: copy the engine to all")
    return matcher


def open_key(job: ShardJob) -> SiteKey:
    """Read the site key of this process's environment. Raises EngineError if it is another than the driver's."""
    site_key, _ = open_site_key(None, Path(job.archive).parent)
    if site_key.fingerprint != job.origin.site_key:
        raise EngineError("a worker has another site key than the driver: put the same key file there for all")
    return site_key


@lru_cache(maxsize=1)
def _open_matcher(engine: str, threads: int | None, mode: str, trust: str | None) -> Matcher:
    is_reduced = mode != name_plain_mode(mode)
    return Matcher(
        engine, threads=threads, fusion_mode=name_plain_mode(mode), trust=trust, audit=False, reduced_decode=is_reduced
    )


def read_study(entry: Entry, reading: Mapping[str, Any]) -> Study:
    """Read an entry as its shard does; raises StudyError."""
    files, _ = read_entry(entry)
    if isinstance(files, StudyError):
        raise files
    return load_study(files, **reading)


def tell_mode(matcher: Matcher) -> str:
    """Return the fusion mode of studies that are read without their priors."""
    return tell_used_mode(matcher.fusion_mode, ())
