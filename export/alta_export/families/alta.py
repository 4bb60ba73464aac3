"""ALTA: adapters over MRM's image tower and CXR-BERT."""

import math
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

from alta_sdk.engine.manifest_content import ALTA_TENSORS, IMAGE, PATCHES, TEXT
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.errors import ExportError
from alta_sdk.study.geometry import ALTA_GEOMETRY
from alta_training.adapters import Adapter
from alta_training.families.alta import ALTA, AltaImage
from alta_training.families.family import Towers
from alta_training.model import AltaModel
from alta_training.model.alta import GREY_MEAN, GREY_STD, to_model_input

from ..bundle import make_head
from ..cost import TIMED_TOKENS, measure_cost
from ..graph import image_inputs, patch_inputs, text_inputs
from ..towers import MergedImageTower, MergedTextTower, PatchTower, TracedImageTower
from .family_export import FamilyExport
from .merged import Arrays, MergedEngine, MergedGraph


def merge(towers: Towers) -> MergedEngine:
    """Merge adapters and constants into the weights; `towers.py` says what stays."""
    model = take_model(towers)
    image, text = TracedImageTower(model.image).eval(), MergedTextTower(model.text).eval()
    made = {
        IMAGE: (image, image_inputs(model.sizes.image.image_px)),
        PATCHES: (PatchTower(model.image).eval(), patch_inputs(model.sizes.image)),
        TEXT: (text, text_inputs()),
    }
    return MergedEngine(
        graphs={name: MergedGraph(*one, outputs=ALTA_TENSORS[name][1]) for name, one in made.items()},
        head=make_head(model),
        merging=measure_merging(model, image, text),
        answer=partial(answer_with_pytorch, model),
        pixel_scaling={"grey_mean": GREY_MEAN, "grey_std": GREY_STD},
        patch_scale=math.exp(model.logit_scale_local1.item()),
        reference="PyTorch float32, adapters in",
    )


def check_towers(towers: Towers) -> None:
    """Raise ExportError for sizes that the preprocessing does not make, and for what the merging is not exact for."""
    sizes = take_model(towers).sizes
    image_px = sizes.image.image_px
    made_px = ALTA_GEOMETRY.crop_px
    if image_px != made_px:
        raise ExportError(f"image tower reads {image_px} px; the preprocessing of this version makes {made_px} px")
    activation = sizes.text.config.hidden_act
    if activation != "gelu":
        raise ExportError(f'text model has the activation "{activation}"; the merging is exact for "gelu" alone')


def take_model(towers: Towers) -> AltaModel:
    """Return the whole model that ALTA's towers look at."""
    assert isinstance(towers.image, AltaImage)
    return towers.image.model


def answer_with_pytorch(model: AltaModel, inputs: Arrays) -> Arrays:
    """Run the towers with their adapters in: unit-length embeddings, CLS, and the local projections of both."""
    with torch.no_grad():
        pixels = to_model_input(torch.from_numpy(inputs["pixels"][:, 0]))
        tokens = model.image(pixels, torch.from_numpy(inputs["slot"]))
        cls = tokens[:, 0]
        hidden = model.text(torch.from_numpy(inputs["input_ids"]), torch.from_numpy(inputs["attention_mask"]))
        projection, words = model.text.project(hidden)
        image = model.image.projection_head(cls)
        patches = model.image.local_projection_head(tokens[:, 1:])
    return {
        "image": to_unit_length(image.numpy()),
        "text": to_unit_length(projection.numpy()),
        "cls": cls.numpy(),
        "words": words.numpy(),
        "patches": patches.numpy(),
    }


def measure_merging(model: AltaModel, image: MergedImageTower, text: MergedTextTower) -> dict[str, Any]:
    """Count parameters and multiply-adds of both towers, before and after, for one radiograph and one prompt.

    And of their adapters how many there are, and how many were left out since they add exactly nothing.
    """
    px = model.sizes.image.image_px
    grey, slot = torch.zeros(1, px, px, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    tokens = torch.ones(1, TIMED_TOKENS, dtype=torch.int64)
    costs = {
        "image_before": measure_cost(CostOfCls(model), to_model_input(grey), slot),
        "image_after": measure_cost(image, grey[:, None], slot),
        "text_before": measure_cost(CostOfText(model), tokens, tokens),
        "text_after": measure_cost(text, tokens, tokens),
    }
    adapters = [m for tower in (model.image, model.text) for m in tower.modules() if isinstance(m, Adapter)]
    left_out = sum(adapter.merged().adds_nothing for adapter in adapters)
    return {
        **{name: asdict(cost) for name, cost in costs.items()},
        "adapters": {"total": len(adapters), "left_out": left_out},
    }


class CostOfCls(torch.nn.Module):
    """The image tower as far as the exported graph goes: pixels to CLS."""

    def __init__(self, model: AltaModel) -> None:
        """Look at a model's image tower."""
        super().__init__()
        self.tower = model.image

    def forward(self, pixels: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
        """Return CLS (n, width)."""
        cls: torch.Tensor = self.tower(pixels, slot)[:, 0]
        return cls


class CostOfText(torch.nn.Module):
    """The text tower as far as the exported graph goes: tokens to both projections."""

    def __init__(self, model: AltaModel) -> None:
        """Look at a model's text tower."""
        super().__init__()
        self.tower = model.text

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the global and the local projections."""
        return self.tower.project(self.tower(input_ids, attention_mask))


EXPORT = FamilyExport(
    merge=merge,
    merging="Merge adapters",
    check=check_towers,
    # Most checkpoints of this form are somebody's own.
    unstated_licence=f"not stated in the checkpoint; published ALTA weights are {ALTA.licence}",
)
