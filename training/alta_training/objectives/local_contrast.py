"""The local objective: every word of a report looks for its patches in every study."""

from dataclasses import dataclass

from torch import Tensor

from ..data.needs import Need
from ..losses import contrast_locally
from .contract import IMAGE_TOWER, TEXT_TOWER, Objective, PublishedSettings
from .passes import Passes


@dataclass(frozen=True)
class LocalSettings(PublishedSettings):
    """heads_alone: its gradient ends at the local heads, so that heat maps cost the global score nothing."""

    heads_alone: bool = False


class LocalContrast(Objective):
    """The symmetric contrast of studies with reports, word by word; its temperatures are the model's."""

    name = "local"
    needs = frozenset({Need.PATCHES, Need.WORDS})
    temperatures = ("logit_scale_local1", "logit_scale_local2", "logit_scale_local3")
    trains = IMAGE_TOWER | TEXT_TOWER | {"image.local_projection_head", "text.local_projection_head", *temperatures}
    Settings = LocalSettings

    def forward(self, passes: Passes) -> Tensor:
        """Contrast patches with words."""
        model = passes.model
        heads_alone = isinstance(self.settings, LocalSettings) and self.settings.heads_alone
        scales = (
            model.logit_scale_local1.exp(),
            model.logit_scale_local2.exp(),
            model.logit_scale_local3.exp(),
        )
        patches, words = passes.detached_locals if heads_alone else (passes.patches, passes.words)
        return contrast_locally(patches, words, passes.word_mask, scales, passes.patch_mask)
