"""What an objective is: what it reads of a step, which parts it trains, its settings, its own weights.

The formula itself is in `losses/`, tensors in and a scalar out; an objective reads the tensors off the
passes of a step and hands them to it.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from ..data.needs import Need
from ..model.sizes import ModelSizes
from ..recipe import ObjectiveSettings
from .passes import Passes

IMAGE_TOWER = frozenset(
    f"image.{part}"
    for part in (
        "patch_embed",
        "cls_token",
        "missing_token",
        "pos_embed",
        "view_embedding",
        "temporal_embedding",
        "blocks",
        "norm",
    )
)
TEXT_TOWER = frozenset({"text.bert"})
MAX_LOGIT_SCALE = math.log(100)  # temperatures are kept as logarithms, in 0 to this; Radford et al. 2021 (CLIP)


@dataclass(frozen=True)
class PublishedSettings(ObjectiveSettings):
    """Of the published objectives, which have a weight unless a recipe takes it away."""

    weight: float = 1.0


class Objective(nn.Module):
    """One term of what a run minimises.

    name: its key in a recipe and in the metrics. needs: what the data set has to prepare for it.
    trains: parts of AltaModel that its gradient reaches, each of them at every step, by our names, e.g.
    "decoder" or "image.local_projection_head"; a run freezes what none of its objectives trains.
    temperatures: the model's learned ones that it reads, logarithms, kept in 0 to ln 100 after each step.
    Settings: a frozen dataclass after ObjectiveSettings with a default for every field, the weight first.
    Parameters of its own are stored as objective.NAME.… in checkpoints and start anew from a backbone;
    buffers of its own live in the state of a run, and nowhere else.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[Need]]
    trains: ClassVar[frozenset[str]]
    temperatures: ClassVar[tuple[str, ...]] = ()
    Settings: ClassVar[type[ObjectiveSettings]] = ObjectiveSettings

    def __init__(self, sizes: ModelSizes, settings: ObjectiveSettings) -> None:
        """Make an objective for a model of these sizes; one with weights of its own makes them here."""
        super().__init__()
        self.settings = settings

    def forward(self, passes: Passes) -> Tensor:
        """Return the objective of one step, a scalar."""
        raise NotImplementedError

    def clamp(self) -> None:
        """Bring what it learns of its own back into range after a step; without any, nothing."""
