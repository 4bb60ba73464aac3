"""The reconstruction objective: the hidden patches of the current frontal."""

import torch
from torch import Tensor

from alta_sdk.errors import TrainingError

from ..data.needs import Need
from ..losses import measure_reconstruction
from ..model.alta import to_model_input
from .contract import IMAGE_TOWER, Objective, PublishedSettings
from .passes import Passes


class Reconstruction(Objective):
    """The decoder fills in the hidden patches of the current frontal, at twice the resolution."""

    name = "reconstruction"
    needs = frozenset({Need.PATCHES, Need.TARGET})
    trains = IMAGE_TOWER | {"decoder"}
    Settings = PublishedSettings

    def forward(self, passes: Passes) -> Tensor:
        """Decode the current frontal and compare what was hidden."""
        cls, tokens, batch = passes.cls, passes.tokens, passes.batch
        visible = torch.cat([cls[:, :1], tokens[:, 0]], dim=1)  # the current frontal's: (n, 1 + kept, width)
        decoder = passes.model.decoder
        if decoder is None:
            raise TrainingError("this model has no decoder: leave the reconstruction out, or start from a backbone")
        predicted = decoder(visible, batch.restore)
        hidden = batch.restore >= tokens.shape[2]  # patches that stand after the kept ones
        return measure_reconstruction(predicted.float(), to_model_input(batch.target)[:, :1], hidden)
