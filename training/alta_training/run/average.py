"""An average of the weights over the steps of a run, which is validated and stored in their place."""

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def average_weights(module: nn.Module, decay: float) -> AveragedModel:
    """Make an exponential average of weights; while it is young its decay is (1 + n) / (10 + n) at most.

    n: the steps that it holds; so the start, which is no good, is soon forgotten.
    """

    def move(mean: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        own = min(decay, (1 + int(steps)) / (10 + int(steps)))
        return mean.lerp(current, 1 - own)

    return AveragedModel(module, avg_fn=move)
