"""What a source's own tower gives, computed without our tower and without its folded weights.

Hugging Face's names are run by transformers' Dinov2Model, Meta's by the rules of the paper's code, written
out here; both in float64, with LayerScale as it is and the source's own input statistics.
"""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from alta_sdk.errors import CheckpointError

from ..model import torchvision_ops  # noqa: F401  transformers imports torchvision
from .dinov2_names import TowerSizes

NORM_EPS = 1e-6


@torch.inference_mode()
def encode_plainly(tensors: Mapping[str, Tensor], sizes: TowerSizes, pixels: Tensor, depth: int, heads: int) -> Tensor:
    """Encode by the rules of a DINOv2 ViT, of tensors in Meta's names.

    pixels: (n, 3, px, px) float64, scaled by the source's statistics.
    Returns tokens (n, 1 + patches, width) float64 after `depth` blocks, before the last norm.
    Source: Oquab et al. 2023; positions are resampled to the grid's size, as Hugging Face's Dinov2Model does.
    """
    exact = {name: tensor.double() for name, tensor in tensors.items()}
    patches = F.conv2d(pixels, exact["patch_embed.proj.weight"], exact["patch_embed.proj.bias"], stride=sizes.patch_px)
    grid = tuple(patches.shape[2:])
    positions = exact["pos_embed"][:, 1:].reshape(1, sizes.side, sizes.side, sizes.width).permute(0, 3, 1, 2)
    if grid != (sizes.side, sizes.side):
        positions = F.interpolate(positions, size=grid, mode="bicubic", align_corners=False)
    x = (patches + positions).flatten(2).mT  # (n, patches, width)
    cls = exact["cls_token"] + exact["pos_embed"][:, :1]
    x = torch.cat([cls.expand(len(x), -1, -1), x], dim=1)
    for number in range(depth):
        prefix = f"blocks.{number}."
        block = {name.removeprefix(prefix): t for name, t in exact.items() if name.startswith(prefix)}
        x = x + block.get("ls1.gamma", 1.0) * _attend(_norm(x, block, "norm1"), block, heads)
        hidden = F.gelu(_multiply(_norm(x, block, "norm2"), block, "mlp.fc1"))
        x = x + block.get("ls2.gamma", 1.0) * _multiply(hidden, block, "mlp.fc2")
    return x


@torch.inference_mode()
def encode_by_transformers(
    own: Mapping[str, Tensor], sizes: TowerSizes, pixels: Tensor, depth: int, heads: int
) -> Tensor:
    """Encode by transformers' Dinov2Model, of tensors in Hugging Face's names; otherwise as `encode_plainly`.

    Raises CheckpointError if Dinov2Model does not take the tensors.
    """
    from transformers import Dinov2Config, Dinov2Model

    if sizes.mlp_width % sizes.width:
        raise CheckpointError(f"source's MLPs of {sizes.mlp_width} are no multiple of its width: not a Dinov2Model's")
    config = Dinov2Config(
        hidden_size=sizes.width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        mlp_ratio=sizes.mlp_width // sizes.width,
        image_size=sizes.side * sizes.patch_px,
        patch_size=sizes.patch_px,
    )
    try:
        with _quiet_transformers():
            model, report = Dinov2Model.from_pretrained(
                None, config=config, state_dict=dict(own), dtype=torch.float64, output_loading_info=True
            )
    except (RuntimeError, ValueError, OSError) as error:
        raise CheckpointError("source cannot be loaded by transformers' Dinov2Model: it is not checked") from error
    lacking = [name for name in report["missing_keys"] if "mask_token" not in name]
    if lacking:
        raise CheckpointError(f"source lacks {lacking[0]}, which transformers' Dinov2Model needs: it is not checked")
    model = model.double().eval()  # double: tensors that from_pretrained keeps as they are
    tokens: Tensor = model.encoder(model.embeddings(pixels)).last_hidden_state
    return tokens


def _attend(x: Tensor, block: Mapping[str, Tensor], heads: int) -> Tensor:
    n, tokens, width = x.shape
    q, k, v = _multiply(x, block, "attn.qkv").reshape(n, tokens, 3, heads, width // heads).unbind(2)
    weights = torch.einsum("nihd,njhd->nhij", q, k).div((width // heads) ** 0.5).softmax(-1)
    return _multiply(torch.einsum("nhij,njhd->nihd", weights, v).reshape(n, tokens, width), block, "attn.proj")


def _multiply(x: Tensor, block: Mapping[str, Tensor], name: str) -> Tensor:
    return x @ block[f"{name}.weight"].T + block[f"{name}.bias"]


def _norm(x: Tensor, block: Mapping[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1, keepdim=True) + NORM_EPS).sqrt()
    return centred / deviation * block[f"{name}.weight"] + block[f"{name}.bias"]


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep its progress bar and its table of tensors that were left over (blocks beyond the cut) off the screen."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    shows_bar = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shows_bar:
            logging.enable_progress_bar()
