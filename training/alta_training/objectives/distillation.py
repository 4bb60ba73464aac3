"""The distillation objective: report vectors that tell what a larger text model's say."""

from dataclasses import dataclass

from torch import Tensor, nn

from alta_sdk.errors import TrainingError

from ..data.needs import Need
from ..losses import measure_distillation
from ..model.sizes import ModelSizes
from ..recipe import ObjectiveSettings
from .contract import TEXT_TOWER, Objective
from .passes import Passes


@dataclass(frozen=True)
class DistillationSettings(ObjectiveSettings):
    """width: of the teacher's vectors (384: MiniLM)."""

    width: int = 384

    def __post_init__(self) -> None:
        """Refuse a width that is none (TrainingError)."""
        super().__post_init__()
        if self.width < 1:
            raise TrainingError("recipe: width must be at least 1")


class Distillation(Objective):
    """One linear map from the shared space to the teacher's, learned with the text tower and left behind."""

    name = "distillation"
    needs = frozenset({Need.REPORT, Need.TEACHER})
    trains = TEXT_TOWER | {"text.cls_projection_head"}
    Settings = DistillationSettings

    def __init__(self, sizes: ModelSizes, settings: DistillationSettings) -> None:
        """Make the map for a model of these sizes."""
        super().__init__(sizes, settings)
        self.to_teacher = nn.Linear(sizes.text.embedding, settings.width)

    def forward(self, passes: Passes) -> Tensor:
        """Compare the mapped report vectors with the teacher's."""
        return measure_distillation(self.to_teacher(passes.report), passes.teacher)
