"""From a study's files in the spool, and an earlier one's from elsewhere, to a Study and what it is filed by."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..dicom.filing import Filing, read_filing
from ..engine.fusion import choose_slots
from ..errors import DicomError, StudyError
from ..study.slots import Slot
from ..study.study import Study
from .engines import OpenEngine
from .report_content import pick_images

PRIOR_FOLDER = "prior."
# Asks for an earlier study, to lie in a folder; returns its files, and what is to be told.
PriorFinder = Callable[[Sequence[Filing], Path], tuple[Sequence[Path], str]]


@dataclass(frozen=True, eq=False)
class ReadStudy:
    """A study as it was read.

    filings: of its files and the prior's, those that can be filed. notices: what is to be told of the prior. unfit:
    why a file cannot be filed.
    """

    study: Study
    filings: tuple[Filing, ...] = field(repr=False)
    notices: tuple[str, ...] = ()
    unfit: DicomError | None = None

    def pick_images(self, slots: Sequence[str]) -> tuple[Filing, ...]:
        """Return what the radiographs of these slots are filed by; raise StudyError if one cannot be."""
        try:
            return pick_images(self.study, slots, self.filings)
        except StudyError as error:
            raise self.unfit or error from error


class StudyReader:
    """Reads studies for an engine, with a prior where the engine looks at one and one is to be asked for."""

    def __init__(self, folder: Path, *, allow_for_processing: bool, find_prior: PriorFinder | None = None) -> None:
        """Put what is retrieved into a folder for as long as it is read."""
        self._folder = folder
        self._allow_for_processing = allow_for_processing
        self._find_prior = find_prior

    def read(self, engine: OpenEngine, files: Sequence[Path]) -> ReadStudy:
        """Read a study; what is wrong with its prior costs the prior alone. Raises StudyError."""
        filings, unfit = read_filings(files)
        if self._find_prior is None or not filings or not reads_prior(engine):
            return ReadStudy(self._make_study(engine, files), filings, (), unfit)
        folder = Path(tempfile.mkdtemp(prefix=PRIOR_FOLDER, dir=self._folder))
        try:
            found, notice = self._find_prior(filings, folder)
            notices = [notice] if notice else []
            if found:
                try:
                    study = self._make_study(engine, files, found)
                    return ReadStudy(study, (*filings, *read_filings(found)[0]), tuple(notices), unfit)
                except StudyError as error:
                    notices.append(f"a prior was found and is not used: {error}")
            return ReadStudy(self._make_study(engine, files), filings, tuple(notices), unfit)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _make_study(self, engine: OpenEngine, files: Sequence[Path], prior: Sequence[Path] | None = None) -> Study:
        return Study.from_dicom(
            list(files),
            None if prior is None else list(prior),
            intensity_profile=engine.matcher.engine.manifest.intensity_profile,
            any_body_part=engine.choice.any_body_part,
            any_view=engine.choice.any_view,
            allow_for_processing=self._allow_for_processing,
        )


def reads_prior(engine: OpenEngine) -> bool:
    """True if an engine, in its fusion mode, looks at an earlier radiograph."""
    slots = choose_slots(tuple(Slot), engine.matcher.fusion_mode, engine.matcher.engine.manifest.readable_slots)
    return Slot.PRIOR_FRONTAL in slots


def read_filings(files: Sequence[Path]) -> tuple[tuple[Filing, ...], DicomError | None]:
    """Return what those of some files are filed by that can be, and why another cannot."""
    filings, unfit = [], None
    for path in files:
        try:
            with open(path, "rb") as file:
                filings.append(read_filing(file))
        except DicomError as error:
            unfit = unfit or error
    return tuple(filings), unfit
