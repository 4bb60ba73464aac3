"""CheXzero and OpenAI's CLIP: a vision transformer and a causal text transformer."""

from functools import partial

from alta_sdk.engine.heads import LinearHead
from alta_sdk.engine.manifest_content import IMAGE, TEXT
from alta_training.families.clip_model import Block, ClipImage, ClipText
from alta_training.families.family import Towers

from ..clip_towers import MergedClipText, MergedVision, VisionParts, take_clip_block
from ..cost import measure_towers
from ..graph import pixel_inputs, token_inputs
from .clip_engine import answer_clip, describe_scaling
from .family_export import FamilyExport
from .merged import MergedEngine, MergedGraph


def merge(towers: Towers) -> MergedEngine:
    """Merge pixel scaling, CheXzero's resize and attention of both towers; the projection becomes the head."""
    visual, tower = towers.image, towers.text
    assert isinstance(visual, ClipImage) and isinstance(tower, ClipText)
    image, text = MergedVision(take_vision(visual)).eval(), MergedClipText(tower).eval()
    return MergedEngine(
        graphs={
            IMAGE: MergedGraph(image, pixel_inputs(towers.geometry.crop_px), ("cls",)),
            TEXT: MergedGraph(text, token_inputs(towers.sizes["max_tokens"]), ("projection",)),
        },
        head=LinearHead(visual.proj.detach().double().T.contiguous().numpy()),
        merging=measure_towers(towers, image, text, reads_mask=False),
        answer=partial(answer_clip, towers),
        pixel_scaling=describe_scaling(visual.scaling),
    )


def take_vision(tower: ClipImage) -> VisionParts:
    """Return the parts of CLIP's vision transformer."""
    return VisionParts(
        conv=tower.conv1,
        scaling=tower.scaling,
        class_token=tower.class_embedding,
        position=tower.positional_embedding,
        norm_pre=tower.ln_pre,
        blocks=[take_clip_block(block) for block in tower.transformer.resblocks if isinstance(block, Block)],
        norm=tower.ln_post,
        heads=tower.sizes.image.heads,
    )


EXPORT = FamilyExport(merge)  # of OpenAI's CLIP, too
