"""Match chest radiograph studies with report prompts, offline, on a hospital workstation.

Not for clinical use. Start with `Matcher("chest.alta").zero_shot(study, labels)`.
"""

from ._version import __version__
from .engine import Engine
from .errors import (
    AltaError,
    CalibrationError,
    CheckpointError,
    DicomError,
    EngineError,
    ExportError,
    IntegrityError,
    PromptError,
    RuntimeUnavailable,
    StudyError,
    TrainingError,
    ViewError,
)
from .few_shot import FewShotClassifier
from .heatmap import Heatmap
from .index import IndexOrigin, Match, ReportIndex
from .matcher import Matcher
from .operating_point import OperatingPoint
from .prompts import Label
from .ranking import RankedReport, Ranking
from .results import Comparison, StudyEmbedding, ZeroShotResult
from .study import Radiograph, Slot, Study
from .thresholds import Decision, Threshold

__all__ = [
    "AltaError",
    "CalibrationError",
    "CheckpointError",
    "Comparison",
    "Decision",
    "DicomError",
    "Engine",
    "EngineError",
    "ExportError",
    "FewShotClassifier",
    "IndexOrigin",
    "Heatmap",
    "IntegrityError",
    "Label",
    "Match",
    "Matcher",
    "OperatingPoint",
    "PromptError",
    "Radiograph",
    "RankedReport",
    "Ranking",
    "ReportIndex",
    "RuntimeUnavailable",
    "Slot",
    "Study",
    "StudyEmbedding",
    "StudyError",
    "Threshold",
    "TrainingError",
    "ViewError",
    "ZeroShotResult",
    "__version__",
]
