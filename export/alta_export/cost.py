"""Parameters and multiply-adds of a tower, before and after merging."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from alta_training.families.family import Towers

TIMED_TOKENS = 32


@dataclass(frozen=True)
class Cost:
    """Parameters of a tower, and multiply-adds of one run."""

    parameters: int
    multiply_adds: int


def measure_cost(tower: nn.Module, *inputs: Tensor) -> Cost:
    """Count the parameters that a tower uses for these inputs, and the multiply-adds of its products.

    A parameter is used if the outputs depend on it, so heads for training alone do not count.
    """
    with torch.enable_grad():
        outputs = tower(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        parameters = [parameter for parameter in tower.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(
            [output.sum() for output in outputs], parameters, allow_unused=True, materialize_grads=False
        )
    used = sum(p.numel() for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None)
    # The counter does not know the CPU's fused attention: have it done by plain products.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        tower(*inputs)
    return Cost(used, counter.get_total_flops() // 2)


def measure_towers(towers: Towers, image: nn.Module, text: nn.Module, *, reads_mask: bool = True) -> dict[str, Any]:
    """Count the costs of published towers and of those that are merged, for one radiograph and one prompt.

    reads_mask: whether the merged text tower reads an attention mask beside the ids. The radiograph has no prior.
    """
    px = towers.geometry.crop_px
    grey = torch.zeros(1, 1, px, px, dtype=torch.uint8)
    ids = torch.ones(1, min(TIMED_TOKENS, towers.sizes["max_tokens"]), dtype=torch.int64)
    costs = {
        "image_before": measure_cost(towers.image, grey),
        "image_after": measure_cost(image, grey),
        "text_before": measure_cost(towers.text, ids, ids),
        "text_after": measure_cost(text, *([ids, ids] if reads_mask else [ids])),
    }
    return {name: asdict(cost) for name, cost in costs.items()}
