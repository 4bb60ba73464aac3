"""What the engines of the CLIP families have in common: how they are verified, and what is said of their pixels."""

from typing import Any

import torch

from alta_sdk.engine.vectors import to_unit_length
from alta_training.families.clip_model import ClipImage
from alta_training.families.family import Towers
from alta_training.families.open_clip import OpenClipImage
from alta_training.families.pixel_scaling import PixelScaling

from .merged import Arrays, answer_prompts


def answer_clip(towers: Towers, inputs: Arrays) -> Arrays:
    """Run the published towers on radiographs and prompts: embeddings, and the class token that the head reads."""
    tower = towers.image
    assert isinstance(tower, ClipImage | OpenClipImage)
    with torch.no_grad():
        token = tower.static(torch.from_numpy(inputs["pixels"]))
        projection = tower.project(token)
    return {
        "image": to_unit_length(projection.numpy()),
        "text": answer_prompts(towers, inputs),
        "cls": token.numpy(),
    }


def describe_scaling(scaling: PixelScaling) -> dict[str, Any]:
    """Say what is folded into the image graph: mean and deviation of each channel in grey values, and a resize."""
    stated: dict[str, Any] = {"channel_means": scaling.mean.tolist(), "channel_deviations": scaling.std.tolist()}
    if scaling.resize is not None:
        stated["resized_in_graph_px"] = len(scaling.resize)
    return stated
