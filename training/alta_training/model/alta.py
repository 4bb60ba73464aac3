"""The whole model: both towers, the decoder, the learned temperatures."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .decoder import Decoder
from .sizes import ModelSizes
from .text import TextTower
from .vision import ImageTower

GREY_MEAN, GREY_STD = 0.4785, 0.2834  # of grey pixels from 0 to 1, as published
INITIAL_LOGIT_SCALE = math.log(1 / 0.07)


class AltaModel(nn.Module):
    """ALTA: image tower and text tower into one space, with the parts that training needs."""

    def __init__(self, sizes: ModelSizes) -> None:
        """Make a model with fresh weights (a checkpoint replaces them)."""
        super().__init__()
        self.sizes = sizes
        self.image = ImageTower(sizes.image)
        self.text = TextTower(sizes.text)
        self.decoder = Decoder(sizes.image, sizes.decoder) if sizes.decoder else None
        self.bert_embed = nn.Linear(sizes.image.width, sizes.text.config.hidden_size)
        self.logit_scale = nn.Parameter(torch.tensor(INITIAL_LOGIT_SCALE))
        self.logit_scale_local1 = nn.Parameter(torch.tensor(INITIAL_LOGIT_SCALE))
        self.logit_scale_local2 = nn.Parameter(torch.tensor(INITIAL_LOGIT_SCALE))
        self.logit_scale_local3 = nn.Parameter(torch.tensor(INITIAL_LOGIT_SCALE))

    def embed_radiographs(self, pixels: Tensor, slot: Tensor | None = None) -> Tensor:
        """Embed radiographs one by one: (n, 3, px, px) to (n, embedding) of unit length.

        slot: (n,) int64; None reads each as a current frontal, which is the published inference.
        """
        if slot is None:
            slot = torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device)
        return F.normalize(self.image.projection_head(self.image(pixels, slot)[:, 0]), dim=-1)

    def embed_studies(self, pixels: Tensor, missing: Tensor) -> Tensor:
        """Embed four-slot studies as in training: (n, 4, 3, px, px), (n, 4) bool to (n, embedding)."""
        cls, _ = self.image.encode_studies(pixels, missing)
        return F.normalize(self.image.projection_head(cls.mean(dim=1)), dim=-1)


def to_model_input(grey_u8: Tensor) -> Tensor:
    """Scale grey pixels (..., px, px) uint8 to what the image tower reads: (..., 3, px, px) float32."""
    scaled = (grey_u8.float() / 255 - GREY_MEAN) / GREY_STD
    return scaled.unsqueeze(-3).expand(*scaled.shape[:-2], 3, *scaled.shape[-2:])
