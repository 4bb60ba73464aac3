"""Loose files of a folder: which of them are one study, as `alta embed` has it, told by tasks of their own.

A task reads the headers of a slice of files and writes down a keyed hash of each StudyInstanceUID, so that a run
that is started again does not read them again.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..dicom.files import read_files
from ..dicom.study_file import HEAD_BYTES, FileReader, StudyFile
from ..errors import StudyError
from ..study.key import KEY_BYTES, SiteKey, identify_uid
from .manifest import Entry
from .object_store import is_remote, name_uri, open_store
from .parts import open_parts, read_look, write_look
from .shard import ShardJob, open_key

SLICE_FILES = 2000


@dataclass(frozen=True)
class Slice:
    """Loose files that one task looks at. name: the same for the same files of one site."""

    name: str
    files: tuple[Entry, ...] = field(repr=False)


def split_slices(loose: Sequence[Entry]) -> list[Slice]:
    """Return loose files in slices, in their order."""
    found = []
    for start in range(0, len(loose), SLICE_FILES):
        files = tuple(loose[start : start + SLICE_FILES])
        digest = hashlib.sha256(b"look" + b"".join(one.identity for one in files))
        found.append(Slice(digest.hexdigest()[: 2 * KEY_BYTES], files))
    return found


def look_at_slice(job: ShardJob, part: Slice) -> list[str | None]:
    """Return of each file the keyed hash of its study, "" if it is a study of its own, None if it is none."""
    store = open_parts(job.archive)
    kept = read_look(store, part.name)  # another driver may have been faster
    if kept is not None:
        return kept
    site_key = open_key(job)
    groups = [_look(one.uris[0], site_key) for one in part.files]
    write_look(store, part.name, groups)
    return groups


def _look(uri: str, site_key: SiteKey) -> str | None:
    if is_remote(uri):
        return _look_at_object(uri, site_key)
    look = FileReader().look(Path(uri))
    return _name_group(look.may_be_study, look.study_uid, site_key)


def _look_at_object(uri: str, site_key: SiteKey) -> str | None:
    folder, _, name = uri.rpartition("/")
    try:
        data = open_store(folder).read(name)
    except FileNotFoundError:
        return None
    head = StudyFile(data[:HEAD_BYTES], Path(name_uri(uri)), is_whole=False)
    if not head.is_dicom:
        return _name_group(head.may_be_study, "", site_key)
    try:
        return _name_group(True, read_files(data).files[0].read_study_uid(), site_key)
    except StudyError:
        return ""


def _name_group(may_be_study: bool, study_uid: str, site_key: SiteKey) -> str | None:
    if not may_be_study:
        return None
    return site_key.sign(identify_uid(study_uid)).hex() if study_uid else ""
