"""A DINOv2-style tower as a backbone: folded into the published MRM names, its last norm set, and written.

What our image tower has no place for goes into what it has: LayerScale into the products before it, the
source's input statistics into the patch embedding, the position grid into one of our patches. All of it is
float64 algebra, rounded once.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from transformers import BertConfig

from alta_sdk.errors import CheckpointError
from alta_sdk.files.targets import write_target
from alta_sdk.study.geometry import ALTA_GEOMETRY

from ..model import AltaModel
from ..model.alta import GREY_MEAN, GREY_STD, to_model_input
from ..model.names import published_name
from ..model.vision import ImageTower
from .backbone import infer_backbone_sizes, start_fresh
from .checkpoint import Checkpoint
from .dinov2_names import TowerSizes
from .dinov2_sources import InputStatistics
from .inferred_sizes import count_layers
from .storage import pack, render_safetensors

# The text tower that a whole model needs; nothing of it is used or written.
SMALL_TEXT = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
MIN_DEVIATION = 1e-3
MIN_RADIOGRAPHS = 4
BATCH = 16


def fold_tower(
    tensors: Mapping[str, Tensor], sizes: TowerSizes, depth: int, statistics: InputStatistics
) -> dict[str, Tensor]:
    """Fold a tower in Meta's names into the published MRM names, float32, cut after `depth` blocks.

    Raises CheckpointError if the source has fewer blocks.
    """
    if depth > sizes.depth:
        raise CheckpointError(f"source has {sizes.depth} blocks, not {depth}: give a --depth of at most {sizes.depth}")
    exact = {name: tensor.double() for name, tensor in tensors.items()}
    kernel, bias = fold_statistics(exact["patch_embed.proj.weight"], exact["patch_embed.proj.bias"], statistics)
    folded = {
        "patch_embed.proj.weight": kernel,
        "patch_embed.proj.bias": bias,
        "cls_token": exact["cls_token"],
        "pos_embed": resample_positions(exact["pos_embed"], ALTA_GEOMETRY.crop_px // sizes.patch_px),
        "norm.weight": exact["norm.weight"],
        "norm.bias": exact["norm.bias"],
    }
    for number in range(depth):
        block = f"blocks.{number}."
        for name in ("norm1", "attn.qkv", "norm2", "mlp.fc1"):
            for kind in ("weight", "bias"):
                folded[f"{block}{name}.{kind}"] = exact[f"{block}{name}.{kind}"]
        for name, scale in (("attn.proj", "ls1.gamma"), ("mlp.fc2", "ls2.gamma")):
            gamma = exact.get(f"{block}{scale}", torch.ones(sizes.width, dtype=torch.float64))
            folded[f"{block}{name}.weight"] = gamma[:, None] * exact[f"{block}{name}.weight"]
            folded[f"{block}{name}.bias"] = gamma * exact[f"{block}{name}.bias"]
    return {name: tensor.float().contiguous() for name, tensor in folded.items()}


def fold_statistics(kernel: Tensor, bias: Tensor, statistics: InputStatistics) -> tuple[Tensor, Tensor]:
    """Return a patch embedding that gives, on our pixels, what the source's gives on pixels by its statistics.

    kernel: (width, 3, px, px); bias: (width,). Ours are (x - GREY_MEAN) / GREY_STD, the same in each channel.
    """
    mean, deviation = (torch.tensor(v, dtype=torch.float64) for v in (statistics.mean, statistics.deviation))
    offset = (GREY_MEAN - mean) / deviation
    return kernel * (GREY_STD / deviation)[:, None, None], bias + torch.einsum("ocyx,c->o", kernel, offset)


def resample_positions(positions: Tensor, side: int) -> Tensor:
    """Resample a square grid of positions (1, 1 + patches, width), CLS first, to side × side, bicubic.

    Source: Hugging Face's Dinov2Model, which asks for the size; Meta's code adds 0.1 to the grid's side.
    """
    cls, patches = positions[:, :1], positions[:, 1:]
    old = round(patches.shape[1] ** 0.5)
    if old != side:
        grid = patches.reshape(1, old, old, -1).permute(0, 3, 1, 2)  # (1, width, old, old)
        patches = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False).flatten(2).mT
    return torch.cat([cls, patches], dim=1)


def build_tower(weights: Mapping[str, Tensor], heads: int) -> ImageTower:
    """Build the image tower that a backbone of these weights gets, with adapters that add nothing."""
    checkpoint = Checkpoint(dict(weights), {"image_heads": str(heads)})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AltaModel(infer_backbone_sizes(checkpoint, BertConfig(**SMALL_TEXT, intermediate_size=8)))
        start_fresh(model)
    own = {published_name(f"image.{name}"): tensor for name, tensor in model.image.state_dict().items()}
    with torch.no_grad():
        for name, tensor in weights.items():
            own[name].copy_(tensor)
    return model.image.eval()


def append_pooling(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with one more block, which adds to every token, CLS too, the mean of all normed tokens.

    Heads read CLS alone, and in the middle of such a tower the mean of the patches holds more (docs/backbones.md).
    Queries and keys of zero attend evenly, the value is the normed token itself, the MLP adds nothing: a block like
    the others, so that adapters, merging and every runtime take it as it is.
    """
    width, hidden = len(weights["norm.weight"]), len(weights["blocks.0.mlp.fc1.bias"])
    block = f"blocks.{count_layers(weights, 'blocks')}."
    identity = torch.eye(width)
    nothing = torch.zeros(2 * width, width)
    own = {
        "norm1.weight": torch.ones(width),
        "norm1.bias": torch.zeros(width),
        "attn.qkv.weight": torch.cat([nothing, identity]),
        "attn.qkv.bias": torch.zeros(3 * width),
        "attn.proj.weight": identity.clone(),
        "attn.proj.bias": torch.zeros(width),
        "norm2.weight": torch.ones(width),
        "norm2.bias": torch.zeros(width),
        "mlp.fc1.weight": torch.zeros(hidden, width),
        "mlp.fc1.bias": torch.zeros(hidden),
        "mlp.fc2.weight": torch.zeros(width, hidden),
        "mlp.fc2.bias": torch.zeros(width),
    }
    return {**weights, **{f"{block}{name}": tensor for name, tensor in own.items()}}


@torch.inference_mode()
def set_last_norm(
    weights: Mapping[str, Tensor], heads: int, radiographs: Iterable[NDArray[np.uint8]]
) -> dict[str, Tensor]:
    """Return the weights with a last norm that gives CLS of these radiographs mean 0 and deviation 1 in each channel.

    radiographs: (224, 224) uint8 each. A channel that hardly varies is not blown up: see MIN_DEVIATION.
    Raises CheckpointError for fewer than four radiographs.
    """
    width = len(weights["norm.weight"])
    plain = {**weights, "norm.weight": torch.ones(width), "norm.bias": torch.zeros(width)}
    tower, found, batch = build_tower(plain, heads), [], []
    for radiograph in radiographs:
        batch.append(torch.from_numpy(radiograph.copy()))
        if len(batch) == BATCH:
            found.append(encode_cls(tower, torch.stack(batch)))
            batch = []
    if batch:
        found.append(encode_cls(tower, torch.stack(batch)))
    count = sum(len(cls) for cls in found)
    if count < MIN_RADIOGRAPHS:
        raise CheckpointError(f"the last norm needs at least {MIN_RADIOGRAPHS} radiographs to be set by: got {count}")
    cls = torch.cat(found).double()
    scale = 1 / cls.std(0).clamp(min=MIN_DEVIATION)
    return {**weights, "norm.weight": scale.float(), "norm.bias": (-cls.mean(0) * scale).float()}


def encode_cls(tower: ImageTower, radiographs: Tensor) -> Tensor:
    """Return the CLS (n, width) of radiographs (n, 224, 224) uint8, each as a current frontal."""
    tokens: Tensor = tower(to_model_input(radiographs), torch.zeros(len(radiographs), dtype=torch.int64))
    return tokens[:, 0]


def is_backbone(head: bytes) -> bool:
    """Tell by its first bytes whether a file is a backbone: safetensors that say where from and how checked."""
    return head[8:].startswith(b'{"__metadata__":') and b'"check_radiographs"' in head and b'"source_sha256"' in head


def write_backbone(
    path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str], *, overwrite: bool = False
) -> None:
    """Write a backbone as safetensors, atomically, the same bytes for the same content.

    What was rounded to 8 bits is stored in them.
    Raises AltaError if a file is there, or with overwrite one that is no backbone, or the disk refuses it.
    """
    data = render_safetensors(pack(weights), metadata)
    write_target(path, data, "backbone", overwrite=overwrite, is_ours=is_backbone)
