"""Run the frozen foot of the image tower once over every look of a table, before the run itself."""

import hashlib
import os
import random
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
from ..data.augment import BOUNDS, apply_augmentation
from ..data.feet import Feet, FeetByEpoch, draw_look
from ..data.pixels import PixelReader
from ..data.records import Record
from ..model import AltaModel
from ..model.alta import to_model_input
from ..model.trainable import count_frozen_blocks
from ..recipe import Recipe

BATCH = 16
BEFORE_BLOCKS = ("patch_embed", "cls_token", "pos_embed", "view_embedding", "temporal_embedding")


def prepare_feet(
    model: AltaModel,
    recipe: Recipe,
    records: Sequence[Record],
    reader: PixelReader,
    cache: Path | None,
    fabric: Fabric,
    *,
    cls_alone: bool,
) -> FeetByEpoch:
    """Run the frozen foot over every look that is not kept yet, on the first process; return what a run reads.

    cls_alone: nothing but CLS is read behind the last block.
    Raises TrainingError without a cache folder, or if no block is frozen.
    """
    depth, blocks = len(model.image.blocks), count_frozen_blocks(model, recipe.image_tower, recipe.image_blocks)
    if not blocks:
        raise TrainingError('recipe: looks needs a frozen foot: set image_blocks, or image_tower = "frozen"')
    if cache is None:
        raise TrainingError("recipe: looks are kept on disk: give --cache FOLDER")

    def prepare(own: int) -> Feet:
        feet = Feet(cache, stamp_foot(model, recipe, own), own, cls_alone=cls_alone and own == depth)
        if fabric.is_global_zero:
            keep_feet(feet, model.to(fabric.device), recipe, records, reader, fabric)
        return feet

    # DDP wants a gradient of every parameter in every step: there the blocks that wait are run, too.
    waits = recipe.image_from >= 1 and blocks < depth and fabric.world_size == 1
    feet = FeetByEpoch(prepare(blocks), prepare(depth) if waits else None, recipe.image_from)
    fabric.barrier()
    return feet


def stamp_foot(model: AltaModel, recipe: Recipe, blocks: int) -> str:
    """Name everything that the tokens behind the first `blocks` blocks depend on besides the radiograph and look.

    Adapters that add nothing are passed over: each seed draws them anew, and the tokens do not change.
    """
    idle = tuple(f"{name}." for name, part in model.image.named_modules() if _adds_nothing(part))
    digest = hashlib.sha256(str(model.sizes.image.heads).encode())  # which no tensor tells
    for name, tensor in model.image.state_dict().items():
        part = name.split(".")
        in_foot = int(part[1]) < blocks if part[0] == "blocks" else part[0] in BEFORE_BLOCKS
        if in_foot and not name.startswith(idle):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    drawn = [getattr(recipe, name) for name in BOUNDS]
    return f"{digest.hexdigest()}|{drawn}|{recipe.intensity_profile}|{recipe.precision}"


def keep_feet(
    feet: Feet, model: AltaModel, recipe: Recipe, records: Sequence[Record], reader: PixelReader, fabric: Fabric
) -> int:
    """Run the foot over every look that is not kept yet; return how many were lacking at the start.

    Each process has an order of its own and passes over what another one has kept meanwhile, so that runs
    side by side share the work.
    """
    frontals = {path for record in records if (path := record.images[Slot.FRONTAL]) is not None}
    wanted = [(path, look) for path in sorted(frontals) for look in range(recipe.looks) if not feet.has(path, look)]
    if wanted:
        say(f"runs the frozen foot of the image tower, {feet.blocks} blocks, over {len(wanted)} looks")
    random.Random(os.getpid()).shuffle(wanted)
    model.eval()
    with torch.inference_mode(), fabric.autocast():
        for start in range(0, len(wanted), BATCH):
            part = [one for one in wanted[start : start + BATCH] if not feet.has(*one)]
            if not part:
                continue
            grey = torch.stack([_look_at(path, look, recipe, reader) for path, look in part]).to(fabric.device)
            slot = torch.zeros(len(grey), dtype=torch.int64, device=grey.device)
            tokens = model.image.embed_patches(to_model_input(grey), slot)
            for block in model.image.blocks[: feet.blocks]:
                tokens = block(tokens)
            kept = (tokens[:, :1] if feet.cls_alone else tokens).float().cpu().numpy().astype(np.float16)
            for (path, look), own in zip(part, kept, strict=True):
                feet.store(path, look, own)
    return len(wanted)


def _adds_nothing(part: nn.Module) -> bool:
    return isinstance(part, Adapter) and part.merged().adds_nothing


def _look_at(path: Path, look: int, recipe: Recipe, reader: PixelReader) -> Tensor:
    small = reader.read(path, with_target=False).small
    return apply_augmentation(torch.from_numpy(np.array(small)), draw_look(recipe, path, look))
