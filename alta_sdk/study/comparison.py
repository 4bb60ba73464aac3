"""Two studies of one patient made comparable: the same current views of each, nothing from before."""

from collections.abc import Sequence
from typing import Protocol, TypeGuard

from ..dicom.files import PathLike, Source
from ..dicom.study_file import HEAD_BYTES, StudyFile
from ..files.opening import open_file
from .slots import CURRENT_SLOTS, Slot
from .study import Study

OneSide = Study | PathLike


class ReadStudy(Protocol):
    """What makes a study of a path, such as `load_study` with its options filled in."""

    def __call__(self, source: Source, *, prior: Source | None = None, find_prior: bool = False) -> Study:
        """Read a study with its prior, given or found."""


def load_pair(current: OneSide, prior: OneSide | None, read: ReadStudy) -> tuple[Study, Study]:
    """Return the current study and the earlier one, each with the current views that both have.

    Two DICOM paths are read as a study with its prior: of one patient, and in order of time. Without a prior, it
    is found among the several studies at the current path, or is that which the current study holds.
    read: makes a study of a path, with its prior.
    Raises StudyError, DicomError or ViewError.
    """
    if prior is None or (_is_dicom_path(current) and _is_dicom_path(prior)):
        now = current if isinstance(current, Study) else read(current, prior=prior, find_prior=prior is None)
        before = now.take_prior()
    else:
        now, before = (side if isinstance(side, Study) else read(side) for side in (current, prior))
    shared = [slot for slot in CURRENT_SLOTS if slot in now.slots and slot in before.slots]
    return _keep(now, shared), _keep(before, shared)


def load_follow_up(current: OneSide, prior: OneSide | None, read: ReadStudy) -> Study:
    """Return one study with a prior frontal radiograph, of the same two that `load_pair` reads and checks.

    Raises what `load_pair` does.
    """
    now, before = load_pair(current, prior, read)
    both = {Slot.FRONTAL: now.radiographs[Slot.FRONTAL], Slot.PRIOR_FRONTAL: before.radiographs[Slot.FRONTAL]}
    return Study(both, now.set_aside)


def _keep(study: Study, slots: Sequence[Slot]) -> Study:
    return Study({slot: study.radiographs[slot] for slot in slots}, study.set_aside)


def _is_dicom_path(side: OneSide) -> TypeGuard[PathLike]:
    return not isinstance(side, Study) and not _is_picture(side)


def _is_picture(path: PathLike) -> bool:
    """True if a path is a JPEG or PNG file, by its first bytes."""
    try:
        with open_file(path) as file:
            return StudyFile(file.read(HEAD_BYTES)).is_image
    except OSError:  # a folder, or nothing: reading it as DICOM says which
        return False
