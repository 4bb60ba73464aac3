"""What a run minimises: objectives by name, in the order in which they are summed and shown.

To add one, write one file here with a class of `contract.py`: its name, what it needs, which parts of the
model it trains, its Settings, and `forward`, which reads passes and calls its formula in `losses/`. Name
the class in OBJECTIVES. Recipes ([objectives.NAME], weight 0 unless its Settings say otherwise), the data
set, freezing, metrics, checkpoints and resuming follow from that.
"""

from .contract import Objective
from .distillation import Distillation
from .global_contrast import GlobalContrast
from .label_contrast import LabelContrast
from .local_contrast import LocalContrast
from .reconstruction import Reconstruction
from .report_modelling import ReportModelling

OBJECTIVES: dict[str, type[Objective]] = {
    objective.name: objective
    for objective in (GlobalContrast, LocalContrast, Reconstruction, ReportModelling, LabelContrast, Distillation)
}

__all__ = ["OBJECTIVES", "Objective"]
