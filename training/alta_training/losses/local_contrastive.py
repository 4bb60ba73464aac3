"""The local contrastive loss: every word of a report looks for its patches in every study.

For the word w of report r and the study b: each patch shares its attention out over the report's words
(softmax over words), each word collects patches by that share (softmax over patches), and the cosine
of the word with what it collected is its match. A report matches a study by the log of the sum of the
exponentials of its words' matches.

The whole batch is computed at once, in tiles of some studies with some reports; see `tiles`.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .products import FULL
from .tiles import MatchWords


def contrast_locally(
    patches: Tensor,
    words: Tensor,
    word_mask: Tensor,
    scales: tuple[Tensor, Tensor, Tensor],
    patch_mask: Tensor | None = None,
    products: str = FULL,
) -> Tensor:
    """Return the symmetric cross entropy of matching studies with reports word by word.

    patches: (n, patches, embedding) of the study's slots, one after the other; not normalised.
    words: (n, length, embedding), CLS dropped; not normalised. word_mask: (n, length) bool, true for
    the words of a report and its [SEP].
    scales: of the attention over patches, of a word's cosine, and of the final logits (scalars).
    patch_mask: (n, patches) bool, false for patches of slots that no word may look at; None: all (published).
    products: "bf16" rounds what the matrix products multiply (`products`).
    Source: ALTA's local loss, after Huang et al. 2021 (GLoRIA).
    """
    similarity = match_words(
        patches, words, word_mask, scales[0], scales[1], patch_mask, products
    )  # (n studies, n reports)
    logits = scales[2] * similarity
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def match_words(
    patches: Tensor,
    words: Tensor,
    word_mask: Tensor,
    patch_scale: Tensor,
    word_scale: Tensor,
    patch_mask: Tensor | None = None,
    products: str = FULL,
) -> Tensor:
    """Return how well each report's words match each study: (studies, reports)."""
    with torch.autocast(patches.device.type, enabled=False):  # the logits decide by small differences
        matched: Tensor = MatchWords.apply(patches, words, word_mask, patch_scale, word_scale, patch_mask, products)
    return matched
