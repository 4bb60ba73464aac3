"""Two studies of one patient made comparable: the same current views of each, nothing from before."""

from typing import TypeGuard

from ..dicom.files import PathLike
from .slots import CURRENT_SLOTS
from .study import Study, is_image_file, load_study

OneSide = Study | PathLike


def load_pair(current: OneSide, prior: OneSide, intensity_profile: str) -> list[Study]:
    """Return the current study and the earlier one, each with the current views that both have.

    Two DICOM paths are read as a study with its prior: of one patient, and in order of time.
    Raises StudyError, DicomError or ViewError.
    """
    if _is_dicom_path(current) and _is_dicom_path(prior):
        both = Study.from_dicom(current, prior, intensity_profile=intensity_profile)
        pair = [both, both.take_prior()]
    else:
        pair = [
            side if isinstance(side, Study) else load_study(side, intensity_profile=intensity_profile)
            for side in (current, prior)
        ]
    shared = [slot for slot in CURRENT_SLOTS if all(slot in study.slots for study in pair)]
    return [Study({slot: study.radiographs[slot] for slot in shared}, study.set_aside) for study in pair]


def _is_dicom_path(side: OneSide) -> TypeGuard[PathLike]:
    return not isinstance(side, Study) and not is_image_file(side)
