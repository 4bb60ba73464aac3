"""The layout of open_clip that BiomedCLIP uses: timm's vision transformer and PubMedBERT.

It was published for softmax across labels, without negatives; the pair of a plain label is ALTA's.
"""

from functools import partial

from torch import nn

from alta_sdk.engine.heads import LinearHead
from alta_sdk.engine.manifest_content import IMAGE, TEXT
from alta_training.families.bert_tower import BertTower
from alta_training.families.family import Towers
from alta_training.families.open_clip import OpenClipImage

from ..bert_tower import MergedBertTower
from ..clip_towers import MergedVision, VisionParts, take_timm_block
from ..cost import measure_towers
from ..graph import pixel_inputs, text_inputs
from .clip_engine import answer_clip, describe_scaling
from .family_export import FamilyExport
from .merged import MergedEngine, MergedGraph


def merge(towers: Towers) -> MergedEngine:
    """Merge pixel scaling and attention of both towers; the projection becomes the head."""
    visual, tower = towers.image, towers.text
    assert isinstance(visual, OpenClipImage) and isinstance(tower, BertTower)
    proj = visual.head["proj"]
    assert isinstance(proj, nn.Linear)
    image, text = MergedVision(take_vision(visual)).eval(), MergedBertTower(tower).eval()
    return MergedEngine(
        graphs={
            IMAGE: MergedGraph(image, pixel_inputs(towers.geometry.crop_px), ("cls",)),
            TEXT: MergedGraph(text, text_inputs(), ("projection",)),
        },
        head=LinearHead(proj.weight.detach().double().numpy()),
        merging=measure_towers(towers, image, text),
        answer=partial(answer_clip, towers),
        pixel_scaling=describe_scaling(visual.scaling),
    )


def take_vision(tower: OpenClipImage) -> VisionParts:
    """Return the parts of timm's vision transformer."""
    trunk = tower.trunk
    return VisionParts(
        conv=trunk.patch_embed.proj,
        scaling=tower.scaling,
        class_token=trunk.cls_token,
        position=trunk.pos_embed[0],
        norm_pre=None,
        blocks=[take_timm_block(block) for block in trunk.blocks],
        norm=trunk.norm,
        heads=tower.sizes.heads,
    )


EXPORT = FamilyExport(merge)
