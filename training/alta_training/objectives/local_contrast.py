"""The local objective: every word of a report looks for its patches in every study."""

from dataclasses import dataclass

from torch import Tensor

from alta_sdk.errors import TrainingError

from ..data.needs import Need
from ..losses import contrast_locally
from ..losses.products import FULL, PRODUCTS
from .contract import IMAGE_TOWER, TEXT_TOWER, Objective, PublishedSettings
from .passes import Passes


@dataclass(frozen=True)
class LocalSettings(PublishedSettings):
    """Of the local objective.

    heads_alone: its gradient ends at the local heads, so that heat maps cost the global score nothing. products:
    "bf16" rounds what its matrix products multiply: faster on a processor that has BF16, and not the same to the bit.
    """

    heads_alone: bool = False
    products: str = FULL

    def __post_init__(self) -> None:
        """Refuse products that there are not (TrainingError)."""
        super().__post_init__()
        if self.products not in PRODUCTS:
            raise TrainingError(f"recipe: products must be one of {', '.join(PRODUCTS)}")


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
        own = self.settings if isinstance(self.settings, LocalSettings) else LocalSettings()
        scales = (
            model.logit_scale_local1.exp(),
            model.logit_scale_local2.exp(),
            model.logit_scale_local3.exp(),
        )
        patches, words = passes.detached_locals if own.heads_alone else (passes.patches, passes.words)
        return contrast_locally(patches, words, passes.word_mask, scales, passes.patch_mask, own.products)
