"""One training step's four losses: the masked pass, the report's two passes, and what they share.

One pass over the visible patches serves all four losses, as published: its CLS vectors meet the report,
its patch tokens meet the words, and the decoder fills in the rest.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.batches import Batch
from ..losses import contrast_globally, contrast_locally, measure_reconstruction, measure_report_modelling
from ..losses.report_modelling import IGNORED
from ..model import AltaModel
from ..model.alta import to_model_input
from ..recipe import Recipe
from .gather import average_number, gather_padded, gather_rows

LOSS_NAMES = ("global", "local", "reconstruction", "report")


@dataclass  # not frozen: Fabric rebuilds what goes in and out of a module
class Losses:
    """The four losses (scalars) and their weighted sum."""

    parts: dict[str, Tensor]
    total: Tensor


class AlignmentObjective(nn.Module):
    """ALTA's alignment: what `fit.py` minimises. A module, so that DDP can wrap it."""

    def __init__(self, model: AltaModel, recipe: Recipe) -> None:
        """Take a model and the weights of the losses."""
        super().__init__()
        self.model = model
        self.fusion = recipe.fusion
        self.weights = dict(
            zip(
                LOSS_NAMES,
                (recipe.global_weight, recipe.local_weight, recipe.reconstruction_weight, recipe.report_weight),
                strict=True,
            )
        )

    def forward(self, batch: Batch) -> Losses:
        """Compute the four losses of a batch; a loss of weight 0 is not computed and reads 0."""
        model = self.model
        cls, tokens = self._encode(batch)
        fused = fuse_cls(cls, batch.missing, self.fusion)
        zero = fused.sum() * 0.0
        parts = dict.fromkeys(LOSS_NAMES, zero)
        if self.weights["global"] or self.weights["local"]:
            report, words = model.text.project(model.text(batch.input_ids, batch.attention_mask))
        if self.weights["global"]:
            study = F.normalize(model.image.projection_head(fused), dim=-1)
            report = F.normalize(report, dim=-1)
            parts["global"] = contrast_globally(
                gather_rows(study.float()), gather_rows(report.float()), model.logit_scale.exp()
            )
        if self.weights["local"]:
            parts["local"] = self._contrast_locally(tokens, words, batch)
        if self.weights["reconstruction"]:
            parts["reconstruction"] = self._reconstruct(cls, tokens, batch)
        if self.weights["report"]:
            feature = model.bert_embed(fused)
            logits = model.text.predict_words(model.text(batch.hidden_ids, batch.attention_mask, feature))
            hidden_tokens = average_number((batch.labels != IGNORED).sum())
            parts["report"] = measure_report_modelling(logits, batch.labels, hidden_tokens)
        total = sum((self.weights[name] * part for name, part in parts.items()), start=zero)
        return Losses(parts, total)

    def _encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return CLS (n, slots, width) and patch tokens (n, slots, kept, width).

        Slots that the fusion does not look at are not run: mode frontal has one slot, mode present has
        zeros for those that are missing.
        """
        image, pixels = self.model.image, to_model_input(batch.pixels)
        if self.fusion == "published":
            return image.encode_studies(pixels, batch.missing, batch.keep)
        slots = 1 if self.fusion == "frontal" else batch.missing.shape[1]
        study, slot = (~batch.missing[:, :slots]).nonzero(as_tuple=True)
        run = image(pixels[study, slot], slot, keep=batch.keep[study, slot])  # (radiographs, 1 + kept, width)
        tokens = run.new_zeros(len(pixels), slots, *run.shape[1:]).index_put((study, slot), run)
        return tokens[:, :, 0], tokens[:, :, 1:]

    def _contrast_locally(self, tokens: Tensor, words: Tensor, batch: Batch) -> Tensor:
        model = self.model
        patches = model.image.local_projection_head(tokens).flatten(1, 2)  # (n, slots · kept, embedding)
        scales = (
            model.logit_scale_local1.exp(),
            model.logit_scale_local2.exp(),
            model.logit_scale_local3.exp(),
        )
        mask = batch.attention_mask[:, 1:]
        looked_at = None
        if self.fusion == "present":
            looked_at = gather_rows((~batch.missing).long()).bool().repeat_interleave(tokens.shape[2], dim=1)
        return contrast_locally(
            gather_rows(patches.float()), gather_padded(words.float()), gather_padded(mask).bool(), scales, looked_at
        )

    def _reconstruct(self, cls: Tensor, tokens: Tensor, batch: Batch) -> Tensor:
        visible = torch.cat([cls[:, :1], tokens[:, 0]], dim=1)  # the current frontal's
        predicted = self.model.decoder(visible, batch.restore)
        hidden = batch.restore >= tokens.shape[2]  # patches that stand after the kept ones
        return measure_reconstruction(predicted.float(), to_model_input(batch.target)[:, :1], hidden)


def fuse_cls(cls: Tensor, missing: Tensor, fusion: str) -> Tensor:
    """Fuse CLS (n, slots, width) of a study's slots into (n, width), as `alta_sdk.engine.fusion` does for vectors."""
    if fusion == "frontal":
        return cls[:, 0]
    if fusion == "present":
        present = (~missing)[:, :, None].to(cls.dtype)
        return (cls * present).sum(dim=1) / present.sum(dim=1)
    return cls.mean(dim=1)
