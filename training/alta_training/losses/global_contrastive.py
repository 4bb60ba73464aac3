"""The global contrastive loss: a study's vector against the report's, over the whole batch."""

import torch
from torch import Tensor
from torch.nn import functional as F


def contrast_globally(studies: Tensor, reports: Tensor, logit_scale: Tensor) -> Tensor:
    """Return the symmetric cross entropy of matching studies with their reports; chance is ln n.

    studies, reports: (n, embedding) of unit length; row i of both belong together.
    logit_scale: scalar, the inverse temperature itself and not its logarithm.
    Source: Radford et al. 2021 (CLIP).
    """
    with torch.autocast(studies.device.type, enabled=False):  # half precision steps by 0.5 at scale 100
        logits = logit_scale * studies @ reports.T  # (n studies, n reports)
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
