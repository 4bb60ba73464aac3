"""Every error that alta-sdk raises on purpose.

    AltaError
    ├── StudyError              a study cannot be read or put together
    │   ├── DicomError          a file is not DICOM, holds no pixels or cannot be decoded
    │   └── ViewError           wrong body part, no frontal radiograph, views that cannot be told
    ├── PromptError             labels or prompts that cannot be scored
    ├── EngineError             a bundle cannot be opened or used as asked
    │   ├── IntegrityError      a bundle is not what its manifest says
    │   └── RuntimeUnavailable  the back end or device does not work here
    ├── CheckpointError         weights or a text-model folder that cannot be loaded
    ├── ExportError             an export that cannot be done or was not exact
    ├── TrainingError           a table, recipe or run that cannot be trained or evaluated
    ├── CalibrationError        calibration data or thresholds that cannot be used
    └── ServiceError            a service that cannot start, or whose state cannot be read or written

A message is one line: what was wrong, where, and what to do. No patient data, no prompt or report
text and no path of a study appears in it.
"""

from alta_runtimes import AltaError, EngineError, IntegrityError, RuntimeUnavailable

__all__ = [
    "AltaError",
    "CalibrationError",
    "CheckpointError",
    "DicomError",
    "EngineError",
    "ExportError",
    "IntegrityError",
    "PromptError",
    "RuntimeUnavailable",
    "ServiceError",
    "StudyError",
    "TrainingError",
    "ViewError",
]


class StudyError(AltaError):
    """A study cannot be read or put together."""


class DicomError(StudyError):
    """A file is not DICOM, holds no pixels or cannot be decoded."""


class ViewError(StudyError):
    """The body part or the views are not what the model was made for."""


class PromptError(AltaError):
    """Labels or prompts that cannot be scored."""


class CheckpointError(AltaError):
    """Weights or a text-model folder that cannot be loaded."""


class ExportError(AltaError):
    """An export that cannot be done or was not exact."""


class TrainingError(AltaError):
    """A table, recipe or run that cannot be trained or evaluated."""


class CalibrationError(AltaError):
    """Calibration data or thresholds that cannot be used."""


class ServiceError(AltaError):
    """A workstation service cannot start, or its state cannot be read or written."""
