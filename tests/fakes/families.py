"""Each family's published files, narrow and with random weights, as an export is given them."""

import numpy as np
import torch

from .biovil import make_image_weights, make_text_config, make_text_weights, write_text_folder
from .clip import make_clip_weights, write_merges
from .open_clip import make_open_clip_config, make_open_clip_weights, write_open_clip_folder

PLACES = 400  # of narrow text towers, whose vocabularies cut prompts into letters


def make_images(count, seed=1):
    """Make pictures of patches of random grey: (count, 360, 300) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, 12, 10), dtype=np.uint8).repeat(30, 1).repeat(30, 2)


def write_published(family, folder):
    """Write a family's narrow files; return what an export of them is given."""
    if family in ("biovil-t", "biovil"):
        torch.save(make_image_weights(family), folder / "image.pt")
        config = make_text_config(max_position_embeddings=PLACES)
        return {
            "checkpoint": folder / "image.pt",
            "text_model": write_text_folder(folder / "text", make_text_weights(config), config),
        }
    if family in ("chexzero", "openai-clip"):
        torch.save(make_clip_weights(context=PLACES), folder / "best.pt")
        given = {"checkpoint": folder / "best.pt", "tokenizer": write_merges(folder), "text_model": None}
        return given | ({"preprocessing": "openai"} if family == "openai-clip" else {})
    config, weights = make_open_clip_config(PLACES), make_open_clip_weights(context=PLACES)
    return {"checkpoint": write_open_clip_folder(folder / "BiomedCLIP", config, weights), "text_model": None}
