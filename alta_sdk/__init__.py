"""Match chest radiograph studies with report prompts, offline, on a hospital workstation.

Not for clinical use. Start with `Matcher("chest.alta").zero_shot(study, labels)`.
"""

from ._version import __version__
from .engine.engine import Engine
from .engine.label_sets import Label
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
from .index.search import IndexOrigin, Match, ReportIndex
from .locate.heatmap import Heatmap
from .matching.embeddings import StudyEmbedding
from .matching.few_shot import FewShotClassifier
from .matching.matcher import Matcher
from .matching.operating_point import OperatingPoint
from .matching.progression import Progression
from .matching.ranking import RankedReport, Ranking
from .matching.results import Comparison, ZeroShotResult
from .matching.thresholds import Decision, Threshold
from .study.radiograph import Radiograph
from .study.slots import Slot
from .study.study import Study

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
    "Progression",
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
