"""One training step's objectives, summed: each by its weight, over passes that they share."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from alta_sdk.errors import TrainingError

from ..data.batches import Batch, mix_seed
from ..data.needs import Need
from ..families.checkpoint import OBJECTIVE_PREFIX
from ..model import AltaModel
from ..recipe import ObjectiveSettings, Recipe
from . import OBJECTIVES, Objective
from .contract import MAX_LOGIT_SCALE
from .passes import Passes


@dataclass  # not frozen: Fabric rebuilds what goes in and out of a module
class Losses:
    """The objectives (scalars) by name and their weighted sum."""

    parts: dict[str, Tensor]
    total: Tensor


class AlignmentObjective(nn.Module):
    """What a training command minimises. A module, so that DDP can wrap it, weights of objectives included."""

    def __init__(self, model: AltaModel, recipe: Recipe) -> None:
        """Make the objectives that have a weight; those with weights of their own start from the recipe's seed.

        Raises TrainingError if no objective has a weight.
        """
        super().__init__()
        self.model = model
        self.fusion = recipe.fusion
        settings = list_objective_settings(recipe)
        # The published ones are shown as 0 where they are left out; another only where it counts.
        self.shown = [name for name in settings if settings[name].weight or OBJECTIVES[name].Settings().weight]
        made = []
        for name, own in settings.items():
            if own.weight:
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(mix_seed(recipe.seed, 0, 0))
                    made.append(OBJECTIVES[name](model.sizes, own))
        if not made:
            raise TrainingError("recipe: no objective has a weight above 0: set objectives.NAME.weight of one")
        self.objectives = nn.ModuleList(made)  # not a ModuleDict, which takes some names for its own methods

    @property
    def active(self) -> list[Objective]:
        """The objectives that have a weight, in the order of OBJECTIVES."""
        return [cast(Objective, objective) for objective in self.objectives]

    @property
    def needs(self) -> frozenset[Need]:
        """What the objectives read of a step."""
        return frozenset[Need]().union(*(objective.needs for objective in self.active))

    @property
    def cls_alone(self) -> bool:
        """Whether no objective reads patch tokens behind the last block."""
        return Need.PATCHES not in self.needs

    @property
    def trains(self) -> frozenset[str]:
        """The parts of the model that the objectives reach."""
        return frozenset[str]().union(*(objective.trains for objective in self.active))

    def forward(self, batch: Batch) -> Losses:
        """Compute the objectives of a batch; one of weight 0 is not computed and reads 0."""
        passes = Passes(self.model, batch, self.fusion, cls_alone=self.cls_alone)
        zero = torch.zeros((), device=batch.rows.device)
        parts, total = dict.fromkeys(self.shown, zero), zero
        for objective in self.active:
            parts[objective.name] = objective(passes)
            total = total + objective.settings.weight * parts[objective.name]
        return Losses(parts, total)

    def clamp(self) -> None:
        """Bring the model's temperatures, whatever has a weight, and the objectives' own back into their range."""
        with torch.no_grad():
            for name in (name for objective in OBJECTIVES.values() for name in objective.temperatures):
                getattr(self.model, name).clamp_(0, MAX_LOGIT_SCALE)
            for own in self.active:
                own.clamp()

    def own_weights(self) -> dict[str, Tensor]:
        """Return the objectives' own parameters by the names that checkpoints have them under: objective.NAME.…."""
        return {
            f"{OBJECTIVE_PREFIX}{objective.name}.{name}": parameter
            for objective in self.active
            for name, parameter in objective.named_parameters()
        }

    def own_state(self) -> dict[str, Tensor]:
        """Return the objectives' own parameters and buffers, which a resumed run goes on with, by such names."""
        return {
            f"{OBJECTIVE_PREFIX}{objective.name}.{name}": tensor
            for objective in self.active
            for name, tensor in objective.state_dict(keep_vars=True).items()
        }


def list_objective_settings(recipe: Recipe) -> dict[str, ObjectiveSettings]:
    """Return the settings of every registered objective, its defaults where the recipe does not name it."""
    return {name: recipe.objectives.get(name, objective.Settings()) for name, objective in OBJECTIVES.items()}
