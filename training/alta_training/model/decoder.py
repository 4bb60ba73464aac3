"""The reconstruction decoder: predicts every patch of the current frontal at twice the resolution."""

from functools import partial

import torch
from torch import Tensor, nn

from ..published import TARGET_ZOOM as TARGET_ZOOM
from . import torchvision_ops  # noqa: F401  timm imports torchvision
from .sizes import DecoderSizes, ImageSizes
from .vision import NORM_EPS, sincos_position_embedding

from timm.models.vision_transformer import Block  # isort: skip


class Decoder(nn.Module):
    """A light transformer from the visible patches of a masked pass to the pixels of all of them."""

    def __init__(self, image: ImageSizes, sizes: DecoderSizes) -> None:
        """Make a decoder with fresh weights (a checkpoint replaces them)."""
        super().__init__()
        self.decoder_embed = nn.Linear(image.width, sizes.width)
        self.mask_token = nn.Parameter(torch.randn(1, 1, sizes.width) * 0.02)
        self.decoder_pos_embed = nn.Parameter(sincos_position_embedding(sizes.width, image.patches))
        self.decoder_blocks = nn.ModuleList(
            [
                Block(
                    sizes.width,
                    sizes.heads,
                    mlp_ratio=sizes.mlp_width / sizes.width,
                    qkv_bias=True,
                    norm_layer=partial(nn.LayerNorm, eps=NORM_EPS),
                )
                for _ in range(sizes.depth)
            ]
        )
        self.decoder_norm = nn.LayerNorm(sizes.width, eps=NORM_EPS)
        self.decoder_pred = nn.Linear(sizes.width, (TARGET_ZOOM * image.patch_px) ** 2 * 3)

    def forward(self, visible: Tensor, restore: Tensor) -> Tensor:
        """Predict all patches from a masked pass.

        visible: (n, 1 + kept, width) tokens, CLS first. restore: (n, patches) int64; entry i says where
        patch i stands in the sequence of kept patches followed by masked ones.
        Returns (n, patches, (2 · patch_px)² · 3), pixels of each patch row by row, channels last.
        """
        x = self.decoder_embed(visible)
        masked = self.mask_token.expand(x.shape[0], restore.shape[1] + 1 - x.shape[1], -1)
        patches = torch.cat([x[:, 1:], masked], dim=1)
        patches = torch.gather(patches, 1, restore[:, :, None].expand(-1, -1, x.shape[-1]))
        x = torch.cat([x[:, :1], patches], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        pixels: Tensor = self.decoder_pred(self.decoder_norm(x))[:, 1:]
        return pixels
