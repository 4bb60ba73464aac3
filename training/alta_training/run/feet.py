"""Run the frozen foot of the image tower once over every look of a table, before the run itself."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from alta_sdk.cli.terminal import say
from alta_sdk.errors import TrainingError
from alta_sdk.study.slots import Slot

from ..adapters import Adapter
from ..data.augment import apply_augmentation
from ..data.feet import Feet, draw_look
from ..data.pixels import PixelReader
from ..data.records import Record
from ..model import AltaModel
from ..model.alta import to_model_input
from ..recipe import Recipe

BATCH = 16
BEFORE_BLOCKS = ("patch_embed", "cls_token", "pos_embed", "view_embedding", "temporal_embedding")
DRAWN_WITHIN = ("rotate", "shear", "translate", "scale", "brightness", "contrast")


def open_feet(model: AltaModel, recipe: Recipe, blocks: int, *, cls_alone: bool, cache: Path | None) -> Feet:
    """Open what is kept of a model's first `blocks` blocks for a recipe's looks.

    cls_alone: nothing but CLS is read behind the foot, so where all blocks are frozen no more is kept.
    Raises TrainingError without a cache folder, or if no block is frozen.
    """
    if not blocks:
        raise TrainingError('recipe: looks needs a frozen foot: set image_blocks, or image_tower = "frozen"')
    if cache is None:
        raise TrainingError("recipe: looks are kept on disk: give --cache FOLDER")
    digest = hashlib.sha256(str(model.sizes.image.heads).encode())  # which no tensor tells
    idle = tuple(f"{name}." for name, part in model.image.named_modules() if _adds_nothing(part))
    for name, tensor in model.image.state_dict().items():
        part = name.split(".")
        in_foot = int(part[1]) < blocks if part[0] == "blocks" else part[0] in BEFORE_BLOCKS
        if in_foot and not name.startswith(idle):  # what adds nothing is drawn anew by each seed
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    drawn = [getattr(recipe, name) for name in DRAWN_WITHIN]
    alone = cls_alone and blocks == len(model.image.blocks)
    return Feet(cache, f"{digest.hexdigest()}|{drawn}|{recipe.intensity_profile}|{recipe.precision}|{blocks}|{alone}")


def keep_feet(
    feet: Feet, model: AltaModel, recipe: Recipe, records: Sequence[Record], reader: PixelReader, blocks: int,
    fabric: Fabric, *, cls_alone: bool,
) -> int:  # fmt: skip
    """Run the foot over every look that is not kept yet; return how many there were."""
    frontals = {path for record in records if (path := record.images[Slot.FRONTAL]) is not None}
    wanted = [(path, look) for path in sorted(frontals) for look in range(recipe.looks) if not feet.has(path, look)]
    if wanted:
        say(f"runs the frozen foot of the image tower, {blocks} blocks, over {len(wanted)} looks")
    model.eval()
    with torch.inference_mode(), fabric.autocast():
        for start in range(0, len(wanted), BATCH):
            part = wanted[start : start + BATCH]
            grey = torch.stack([_look_at(path, look, recipe, reader) for path, look in part]).to(fabric.device)
            slot = torch.zeros(len(grey), dtype=torch.int64, device=grey.device)
            tokens = model.image.embed_patches(to_model_input(grey), slot)
            for block in model.image.blocks[:blocks]:
                tokens = block(tokens)
            if cls_alone and blocks == len(model.image.blocks):
                tokens = tokens[:, :1]
            kept = tokens.float().cpu().numpy().astype(np.float16)
            for (path, look), own in zip(part, kept, strict=True):
                feet.store(path, look, own)
    return len(wanted)


def _adds_nothing(part: nn.Module) -> bool:
    return isinstance(part, Adapter) and part.merged().adds_nothing


def _look_at(path: Path, look: int, recipe: Recipe, reader: PixelReader) -> Tensor:
    small = reader.read(path, with_target=False).small
    return apply_augmentation(torch.from_numpy(np.array(small)), draw_look(recipe, path, look))
