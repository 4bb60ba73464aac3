"""Masked report modelling: the hidden words of a report, with the study's feature at hand."""

from torch import Tensor
from torch.nn import functional as F

IGNORED = -100  # the label of a token that is not to be predicted


def measure_report_modelling(logits: Tensor, labels: Tensor, hidden_tokens: Tensor | float | None = None) -> Tensor:
    """Return the mean cross entropy over the hidden tokens.

    logits: (n, length, vocabulary). labels: (n, length) int64, -100 for tokens that were not hidden.
    hidden_tokens: what to divide by; None counts them here (over processes: their mean number a process).
    With no hidden token the loss is 0, not undefined.
    Source: Devlin et al. 2019; Zhou et al. 2023 (MRM).
    """
    chosen = labels != IGNORED
    if not chosen.any():
        return logits.sum() * 0.0
    summed = F.cross_entropy(logits[chosen].float(), labels[chosen], reduction="sum")
    return summed / (chosen.sum() if hidden_tokens is None else hidden_tokens)
