"""The global contrast where labels tell which reports fit a study: more than one may, and none is pushed away."""

import torch
from torch import Tensor


def contrast_by_labels(studies: Tensor, reports: Tensor, logit_scale: Tensor, fits: Tensor) -> Tensor:
    """Return the symmetric cross entropy with all reports that fit a study, in equal shares, as its target.

    studies, reports: (n, embedding) of unit length. logit_scale: scalar, the inverse temperature itself.
    fits: (n studies, n reports) bool; every study and every report has at least its own. With no other it
    is `contrast_globally`.
    Source: after Wang et al. 2022 (MedCLIP), whose targets are label similarities.
    """
    with torch.autocast(studies.device.type, enabled=False):  # half precision steps by 0.5 at scale 100
        logits = logit_scale * studies @ reports.T  # (n studies, n reports)
        wanted = fits.to(logits.dtype)
        losses = [
            -(fit / fit.sum(dim=1, keepdim=True) * rows.log_softmax(dim=1)).sum(dim=1).mean()
            for fit, rows in ((wanted, logits), (wanted.T, logits.T))
        ]
    return (losses[0] + losses[1]) / 2
