"""The local contrastive loss: every word of a report looks for its patches in every study.

For the word w of report r and the study b: each patch shares its attention out over the report's words
(softmax over words), each word collects patches by that share (softmax over patches), and the cosine
of the word with what it collected is its match. A report matches a study by the log of the sum of the
exponentials of its words' matches.

The whole batch is computed at once, in chunks of reports whose intermediate arrays stay within a
bound; a chunk is computed anew in the backward pass, so that memory does not grow with the batch.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

# Elements of the largest intermediate array of one chunk, 4 bytes each: 128 MiB.
MAX_ELEMENTS = 32 * 2**20
MIN_LENGTH = 1e-8


def contrast_locally(
    patches: Tensor,
    words: Tensor,
    word_mask: Tensor,
    scales: tuple[Tensor, Tensor, Tensor],
    patch_mask: Tensor | None = None,
) -> Tensor:
    """Return the symmetric cross entropy of matching studies with reports word by word.

    patches: (n, patches, embedding) of the study's slots, one after the other; not normalised.
    words: (n, length, embedding), CLS dropped; not normalised. word_mask: (n, length) bool, true for
    the words of a report and its [SEP].
    scales: of the attention over patches, of a word's cosine, and of the final logits (scalars).
    patch_mask: (n, patches) bool, false for patches of slots that no word may look at; None: all (published).
    Source: ALTA's local loss, after Huang et al. 2021 (GLoRIA).
    """
    similarity = match_words(patches, words, word_mask, scales[0], scales[1], patch_mask)  # (n studies, n reports)
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
) -> Tensor:
    """Return how well each report's words match each study: (studies, reports)."""
    studies, per_study = patches.shape[:2]
    lengths = word_mask.sum(dim=1).tolist()
    chunks = _chunk_reports(lengths, studies * per_study)
    needs_grad = torch.is_grad_enabled() and (patches.requires_grad or words.requires_grad)
    columns: list[Tensor] = [patches.new_empty(0)] * len(lengths)
    for rows in chunks:
        longest = max(lengths[row] for row in rows)
        index = torch.tensor(rows, device=words.device)
        given = (patches, words[index, :longest], word_mask[index, :longest], patch_scale, word_scale, patch_mask)
        matched = checkpoint(_match_chunk, *given, use_reentrant=False) if needs_grad else _match_chunk(*given)
        for row, column in zip(rows, matched.unbind(1), strict=True):
            columns[row] = column
    return torch.stack(columns, dim=1)


def _chunk_reports(lengths: list[int], patches: int) -> list[list[int]]:
    """Group reports of like length, so that little is padding and no chunk exceeds the bound."""
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    chunks: list[list[int]] = []
    for row in order:  # ascending, so this row is the longest of its chunk
        if chunks and (len(chunks[-1]) + 1) * max(lengths[row], 1) * patches <= MAX_ELEMENTS:
            chunks[-1].append(row)
        else:
            chunks.append([row])
    return chunks


def _match_chunk(
    patches: Tensor,
    words: Tensor,
    word_mask: Tensor,
    patch_scale: Tensor,
    word_scale: Tensor,
    patch_mask: Tensor | None,
) -> Tensor:
    """Match a chunk of reports with all studies: (studies, reports of the chunk)."""
    studies, per_study, _ = patches.shape
    reports, length, embedding = words.shape
    flat = words.reshape(reports * length, embedding)
    similarity = (patches.reshape(-1, embedding) @ flat.T).unflatten(1, (reports, length))
    similarity = similarity.masked_fill(~word_mask, -torch.inf)
    share = similarity.softmax(dim=-1).view(studies, per_study, reports * length)  # over the words
    # The cosine does not see a word's attention sum, so the softmax over patches needs no division;
    # its maximum is subtracted for range alone.
    attention = (patch_scale * (share - share.detach().amax(dim=1, keepdim=True))).exp()
    if patch_mask is not None:
        attention = attention * patch_mask[:, :, None]
    collected = torch.bmm(attention.transpose(1, 2), patches)  # (studies, reports · length, embedding)
    cosine = _cosine(flat, collected).unflatten(1, (reports, length))
    return (word_scale * cosine).masked_fill(~word_mask, -torch.inf).logsumexp(dim=-1)


def _cosine(words: Tensor, collected: Tensor) -> Tensor:
    product = (words * collected).sum(dim=-1)
    length = words.norm(dim=-1) * collected.norm(dim=-1)
    return product / length.clamp(min=MIN_LENGTH)
