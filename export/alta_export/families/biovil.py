"""BioViL-T and BioViL: ResNet-50, with and without a prior, and CXR-BERT."""

from dataclasses import asdict, replace
from functools import partial

import torch
from torch import nn

from alta_sdk.engine.heads import NoHead
from alta_sdk.engine.manifest_content import FUSE, IMAGE, TEXT
from alta_sdk.engine.patches import list_places
from alta_sdk.engine.vectors import to_unit_length
from alta_training.families.bert_tower import BertTower
from alta_training.families.biovil_image import BiovilImage, BiovilTImage
from alta_training.families.family import Towers

from ..bert_tower import MergedBertTower
from ..biovil_towers import MergedBiovil, MergedBiovilT, MergedFusion
from ..cost import measure_cost, measure_towers
from ..graph import feature_inputs, pixel_inputs, text_inputs
from .family_export import FamilyExport
from .merged import Arrays, MergedEngine, MergedGraph, answer_prompts, to_priors

FRONTALS = ("frontal", "prior_frontal")  # the image towers were trained on these views alone

# In FP32 at every precision: it is a hundredth of the work, and nothing comes after it that could make up for it.
PROJECTOR, FUSED_PROJECTOR = ("projector",), ("first", "last")


def merge_biovil_t(towers: Towers) -> MergedEngine:
    """Merge a radiograph without a prior into one graph, and the comparison with a prior into another."""
    tower = towers.image
    assert isinstance(tower, BiovilTImage)
    fuse = MergedFusion(tower).eval()
    merged = _merge(towers, MergedBiovilT(tower), ("features", "projection", "patches"))
    inputs = feature_inputs(tower.to_static.out_channels, fuse.side)
    cost = measure_cost(fuse, *(item.example[:1] for item in inputs))
    return replace(
        merged,
        graphs={**merged.graphs, FUSE: MergedGraph(fuse, inputs, ("projection", "patches"), kept=FUSED_PROJECTOR)},
        merging={**merged.merging, "fuse_after": asdict(cost)},
        answer=partial(answer_biovil_t, towers),
    )


def merge_biovil(towers: Towers) -> MergedEngine:
    """Merge the trunk and the projector into one graph."""
    assert isinstance(towers.image, BiovilImage)
    return _merge(towers, MergedBiovil(towers.image), ("projection", "patches"))


def answer_biovil(towers: Towers, inputs: Arrays) -> Arrays:
    """Run the published towers on radiographs, each alone, and on prompts."""
    tower = towers.image
    assert isinstance(tower, BiovilImage | BiovilTImage)
    with torch.no_grad():
        projection, patches = tower.project(tower.static(torch.from_numpy(inputs["pixels"])))
    return {
        "image": to_unit_length(projection.numpy()),
        "text": answer_prompts(towers, inputs),
        "patches": list_places(patches.numpy()),
    }


def answer_biovil_t(towers: Towers, inputs: Arrays) -> Arrays:
    """Run the published towers on radiographs alone, on each with the next one as its prior, and on prompts."""
    tower = towers.image
    assert isinstance(tower, BiovilTImage)
    with torch.no_grad():
        features = tower.static(torch.from_numpy(inputs["pixels"]))
        projection, patches = tower.project(features, torch.from_numpy(to_priors(features.numpy())))
    return {
        **answer_biovil(towers, inputs),
        "paired": to_unit_length(projection.numpy()),
        "paired_patches": list_places(patches.numpy()),
    }


def _merge(towers: Towers, image: nn.Module, outputs: tuple[str, ...]) -> MergedEngine:
    assert isinstance(towers.text, BertTower)
    text = MergedBertTower(towers.text).eval()
    graphs = {
        IMAGE: MergedGraph(image.eval(), pixel_inputs(towers.geometry.crop_px), outputs, kept=PROJECTOR),
        TEXT: MergedGraph(text, text_inputs(), ("projection",)),
    }
    return MergedEngine(
        graphs=graphs,
        head=NoHead(towers.sizes["embedding"]),
        merging=measure_towers(towers, image, text),
        answer=partial(answer_biovil, towers),
        slots=FRONTALS,
    )


BIOVIL_T_EXPORT = FamilyExport(merge_biovil_t)
BIOVIL_EXPORT = FamilyExport(merge_biovil)
