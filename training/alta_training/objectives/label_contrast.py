"""The label contrast: the global objective for reports that are made of labels, of which many are alike."""

from torch import Tensor

from ..data.needs import Need
from ..losses import contrast_by_labels
from .contract import IMAGE_TOWER, TEXT_TOWER, Objective
from .passes import Passes


class LabelContrast(Objective):
    """The contrast of studies with every report that none of their labels contradicts; it stands in for `global`.

    Two normal radiographs of a batch have each other's sentences, too: `global` would push them apart.
    """

    name = "label"
    needs = frozenset({Need.STUDY, Need.REPORT, Need.LABELS})
    temperatures = ("logit_scale",)
    trains = IMAGE_TOWER | TEXT_TOWER | {"image.projection_head", "text.cls_projection_head", *temperatures}

    def forward(self, passes: Passes) -> Tensor:
        """Contrast studies with reports."""
        return contrast_by_labels(passes.study, passes.report, passes.model.logit_scale.exp(), passes.fits)
