"""The global objective: a study's vector against the report's, over the whole batch."""

from torch import Tensor

from ..data.needs import Need
from ..losses import contrast_globally
from .contract import IMAGE_TOWER, TEXT_TOWER, Objective, PublishedSettings
from .passes import Passes


class GlobalContrast(Objective):
    """The symmetric contrast of studies with reports; its temperature is the model's."""

    name = "global"
    needs = frozenset({Need.STUDY, Need.REPORT})
    temperatures = ("logit_scale",)
    trains = IMAGE_TOWER | TEXT_TOWER | {"image.projection_head", "text.cls_projection_head", *temperatures}
    Settings = PublishedSettings

    def forward(self, passes: Passes) -> Tensor:
        """Contrast studies with reports."""
        return contrast_globally(passes.study, passes.report, passes.model.logit_scale.exp())
