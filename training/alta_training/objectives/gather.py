"""Gather rows over processes with gradients, so that a contrastive loss sees the whole batch.

Alone in the world these functions return what they are given.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate (n, …) of every process in the order of ranks; gradients flow back to each."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    if not rows.requires_grad:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(rows.contiguous()))


def gather_padded(rows: Tensor) -> Tensor:
    """The same for (n, length, …) whose lengths differ between processes: padded with zeros to the longest."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    longest = torch.tensor(rows.shape[1], device=rows.device)
    dist.all_reduce(longest, op=dist.ReduceOp.MAX)
    padding = [0, 0] * (rows.ndim - 2) + [0, int(longest) - rows.shape[1]]
    return gather_rows(F.pad(rows, padding))


def average_number(number: Tensor) -> Tensor:
    """Return the mean of a count over the processes, at least a tiny one, without gradient."""
    mean = number.detach().float()
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(mean)
        mean = mean / dist.get_world_size()
    return mean.clamp(min=1e-6)
