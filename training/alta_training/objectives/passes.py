"""What one batch becomes in the towers: each part is computed once, when an objective first asks for it.

One pass over the visible patches serves every objective, as published: its CLS vectors meet the report,
its patch tokens meet the words, and the decoder fills in the rest. What no objective asks for is not run.
"""

from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.batches import UNKNOWN_CLAIM, Batch
from ..model import AltaModel
from ..model.alta import to_model_input
from .gather import gather_padded, gather_rows


class Passes:
    """The passes of one batch of n studies, N over all processes; s slots that the fusion looks at.

    Members that are "gathered" have the rows of all processes, in the order of ranks, with gradients; what
    meets in a contrast is float32 whatever the precision of the run.
    """

    def __init__(self, model: AltaModel, batch: Batch, fusion: str, *, cls_alone: bool = False) -> None:
        """Take a model, a batch and the fusion mode; nothing is run yet.

        cls_alone: patch tokens are not asked for, and those of the last block not run.
        """
        self.model, self.batch, self.fusion = model, batch, fusion
        self.cls_alone = cls_alone

    @property
    def cls(self) -> Tensor:
        """CLS of each slot of the masked pass: (n, s, width)."""
        return self._slots[0]

    @property
    def tokens(self) -> Tensor:
        """Visible patch tokens of each slot of the masked pass: (n, s, kept, width)."""
        return self._slots[1]

    @cached_property
    def fused(self) -> Tensor:
        """CLS fused over the slots: (n, width)."""
        return fuse_cls(self.cls, self.batch.missing, self.fusion)

    @cached_property
    def study(self) -> Tensor:
        """Study vectors, gathered: (N, embedding), unit length."""
        study = F.normalize(self.model.image.projection_head(self.fused), dim=-1)
        return gather_rows(study.float())

    @cached_property
    def report(self) -> Tensor:
        """Report vectors, gathered: (N, embedding), unit length."""
        return self._embed_text(self._report_tokens)

    @cached_property
    def caption(self) -> Tensor:
        """Vectors of the captions, gathered: (N, embedding), unit length."""
        batch = self.batch
        return self._embed_text(self.model.text(batch.caption_ids, batch.caption_mask))

    @cached_property
    def patches(self) -> Tensor:
        """Local projections of the visible patches, slot after slot, gathered: (N, s · kept, embedding)."""
        return self._project_patches(self.tokens)

    @cached_property
    def patch_mask(self) -> Tensor | None:
        """Which patches stand for a radiograph, gathered: (N, s · kept) bool; None: all may be looked at."""
        if self.fusion != "present":
            return None
        present = gather_rows((~self.batch.missing).long()).bool()
        return present.repeat_interleave(self.tokens.shape[2], dim=1)

    @cached_property
    def words(self) -> Tensor:
        """Local projections of the report's words, CLS dropped, gathered: (N, length - 1, embedding)."""
        return self._project_words(self._report_tokens)

    @property
    def detached_locals(self) -> tuple[Tensor, Tensor]:
        """What `patches` and `words` are, but no gradient goes on from the local heads into the towers."""
        return self._project_patches(self.tokens.detach()), self._project_words(self._report_tokens.detach())

    @cached_property
    def word_mask(self) -> Tensor:
        """Which of the words are a report's own, its [SEP] included, gathered: (N, length - 1) bool."""
        return gather_padded(self.batch.attention_mask[:, 1:]).bool()

    @cached_property
    def fits(self) -> Tensor:
        """Which reports no label of a study contradicts, gathered: (N studies, N reports) bool, its own always.

        A report of which not every sentence is made of labels fits its own study alone.
        """
        found, claimed = gather_rows(self.batch.found), gather_rows(self.batch.claimed)  # (N, findings)
        known = (claimed != UNKNOWN_CLAIM).all(dim=1)
        truth = 2 * found - 1  # (N, findings), 1 there, -1 not there
        # Each claim that is true counts 1, each that is not -1: all are true where the sum is their number.
        agreements = truth.float() @ claimed.float().T
        own = torch.eye(len(found), dtype=torch.bool, device=found.device)
        return own | known & (agreements == (claimed != 0).sum(dim=1))

    @property
    def teacher(self) -> Tensor:
        """The teacher's vectors of the reports, gathered: (N, width)."""
        return gather_rows(self.batch.teacher)

    @cached_property
    def hidden_words(self) -> Tensor:
        """Logits of the report with hidden words, the study's feature added: (n, length, vocabulary)."""
        model, batch = self.model, self.batch
        feature = model.bert_embed(self.fused)
        return model.text.predict_words(model.text(batch.hidden_ids, batch.attention_mask, feature))

    def _project_patches(self, tokens: Tensor) -> Tensor:
        return gather_rows(self.model.image.local_projection_head(tokens).flatten(1, 2).float())

    def _project_words(self, tokens: Tensor) -> Tensor:
        return gather_padded(self.model.text.local_projection_head(tokens[:, 1:]).float())

    @cached_property
    def _report_tokens(self) -> Tensor:
        tokens: Tensor = self.model.text(self.batch.input_ids, self.batch.attention_mask)  # (n, length, width)
        return tokens

    def _embed_text(self, tokens: Tensor) -> Tensor:
        projected = self.model.text.cls_projection_head(tokens[:, 0])
        return gather_rows(F.normalize(projected, dim=-1).float())

    @cached_property
    def _slots(self) -> tuple[Tensor, Tensor]:
        """CLS and patch tokens of the slots that the fusion looks at; no other slot is run.

        Mode frontal has one slot; mode present has zeros for those that are missing.
        """
        image, batch = self.model.image, self.batch
        if batch.tokens.numel():
            run = image.read_tokens(batch.tokens, int(batch.foot[0]), cls_alone=self.cls_alone)[:, None]
            return run[:, :, 0], run[:, :, 1:]
        pixels = to_model_input(batch.pixels)
        if self.fusion == "published":
            return image.encode_studies(pixels, batch.missing, batch.keep)
        slots = 1 if self.fusion == "frontal" else batch.missing.shape[1]
        study, slot = (~batch.missing[:, :slots]).nonzero(as_tuple=True)
        tokens = image.embed_patches(pixels[study, slot], slot, keep=batch.keep[study, slot])
        run = image.read_tokens(tokens, 0, cls_alone=self.cls_alone)  # (radiographs, 1 + kept, width)
        tokens = run.new_zeros(len(pixels), slots, *run.shape[1:]).index_put((study, slot), run)
        return tokens[:, :, 0], tokens[:, :, 1:]


def fuse_cls(cls: Tensor, missing: Tensor, fusion: str) -> Tensor:
    """Fuse CLS (n, slots, width) of a study's slots into (n, width), as `alta_sdk.engine.fusion` does for vectors."""
    if fusion == "frontal":
        return cls[:, 0]
    if fusion == "present":
        present = (~missing)[:, :, None].to(cls.dtype)
        return (cls * present).sum(dim=1) / present.sum(dim=1)
    return cls.mean(dim=1)
