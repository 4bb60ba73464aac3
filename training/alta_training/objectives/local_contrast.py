"""The local objective: every word of a report looks for its patches in every study."""

from torch import Tensor

from ..data.needs import Need
from ..losses import contrast_locally
from .contract import IMAGE_TOWER, TEXT_TOWER, Objective, PublishedSettings
from .passes import Passes


class LocalContrast(Objective):
    """The symmetric contrast of studies with reports, word by word; its temperatures are the model's."""

    name = "local"
    needs = frozenset({Need.PATCHES, Need.WORDS})
    temperatures = ("logit_scale_local1", "logit_scale_local2", "logit_scale_local3")
    trains = IMAGE_TOWER | TEXT_TOWER | {"image.local_projection_head", "text.local_projection_head", *temperatures}
    Settings = PublishedSettings

    def forward(self, passes: Passes) -> Tensor:
        """Contrast patches with words."""
        model = passes.model
        scales = (
            model.logit_scale_local1.exp(),
            model.logit_scale_local2.exp(),
            model.logit_scale_local3.exp(),
        )
        return contrast_locally(passes.patches, passes.words, passes.word_mask, scales, passes.patch_mask)
