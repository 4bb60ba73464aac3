"""The global objective: a study's vector against the report's, over the whole batch."""

from torch import Tensor

from ..data.needs import Need
from ..losses import contrast_globally
from ..model import AltaModel
from .contract import IMAGE_TOWER, MAX_LOGIT_SCALE, TEXT_TOWER, Objective, PublishedSettings
from .passes import Passes


class GlobalContrast(Objective):
    """The symmetric contrast of studies with reports; its temperature is the model's."""

    name = "global"
    needs = frozenset({Need.STUDY, Need.REPORT})
    trains = IMAGE_TOWER | TEXT_TOWER | {"image.projection_head", "text.cls_projection_head", "logit_scale"}
    Settings = PublishedSettings

    def forward(self, passes: Passes) -> Tensor:
        """Contrast studies with reports."""
        return contrast_globally(passes.study, passes.report, passes.model.logit_scale.exp())

    def clamp(self, model: AltaModel) -> None:
        """Keep the logit scale (a logarithm) in 0 to ln 100.

        One that no objective of the run trains does not move: it stays as the checkpoint has it.
        """
        model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
