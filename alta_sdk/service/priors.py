"""Find the prior of a study: the latest earlier study of the same patient that has a usable frontal radiograph.

The archive is asked for a few seconds, in a thread of its own: whatever it does, the study goes on when they are over,
without a prior, and its report says so. Nothing that goes wrong here is the study's fault, so nothing is raised.
"""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..dicom.filing import Filing, read_filing
from ..dicom.intensity import GreyOptions
from ..errors import ServiceError, StudyError
from ..study.examination import ReadOptions, read_examinations
from ..study.slots import PRIOR_SLOTS, select_images
from .prior_archives import Archive, Line, open_archive
from .prior_files import PriorFiles
from .prior_lists import Current, list_earlier
from .settings import PriorSource

MAX_TRIED = 4  # earlier studies of which images are retrieved
INCOMPLETE = "not every image of the prior could be retrieved"
NONE_EARLIER = "the archive has no earlier chest radiograph of this patient"
_log = logging.getLogger("alta_sdk")


class PriorFound(NamedTuple):
    """The files of a prior, none if there is none, and what a reader must be told: one line, "" for nothing."""

    files: tuple[Path, ...]
    notice: str


def find_prior(source: PriorSource, filings: Sequence[Filing], folder: Path, *, ae_title: str) -> PriorFound:
    """Ask an archive for a prior, as AE title ae_title, and put its files into an empty folder.

    filings: of the current study's images, at least one. Raises nothing of a peer's fault; returns in time.
    """
    files, line = PriorFiles(folder), Line()
    answers: list[PriorFound] = []

    def search() -> None:
        try:
            current = Current.of(filings)
            with open_archive(source.peer, ae_title, source.most_seconds, line, files) as archive:
                answers.append(_search(archive, current, files))
        except ServiceError as error:
            answers.append(_tell_none(str(error)))
        except Exception as error:  # of the disk, or not foreseen
            answers.append(_tell_none(f"{type(error).__name__}, not foreseen"))

    thread = threading.Thread(target=search, name="alta prior", daemon=True)
    thread.start()
    thread.join(source.most_seconds)
    files.close()
    line.end()
    if not answers:
        answers.append(_tell_none(f"the archive did not answer in {source.most_seconds:g} s"))
    found = answers[0]
    _log.info("prior: %s", found.notice or f"{len(found.files)} images")
    return found


def _search(archive: Archive, current: Current, files: PriorFiles) -> PriorFound:
    """Return the first of the earlier studies, the latest first, that has a usable frontal radiograph."""
    for study in list_earlier(archive.list_studies(current), current)[:MAX_TRIED]:
        archive.retrieve(study.study_uid, files)
        retrieved = files.take()
        if _is_usable(retrieved, study.study_uid, current):
            return PriorFound(retrieved, INCOMPLETE if files.is_full or files.is_partial else "")
        for path in retrieved:
            path.unlink()
        if files.is_full:
            return _tell_none("the archive's earlier studies are larger than what is retrieved")
    return _tell_none(NONE_EARLIER)


def _is_usable(paths: Sequence[Path], study_uid: str, current: Current) -> bool:
    """True if files are of one study, of the current study's patient, and have a usable frontal radiograph."""
    try:
        for path in paths:
            filing = read_filing(path.read_bytes())
            if filing.study_uid != study_uid or not current.is_of_same_patient(filing):
                return False
        found, _ = read_examinations(list(paths), ReadOptions(GreyOptions()))
        select_images(found[0], PRIOR_SLOTS, any_view=False)
    except StudyError:
        return False
    return bool(paths)


def _tell_none(reason: str) -> PriorFound:
    return PriorFound((), f"no prior was compared with: {reason}")
