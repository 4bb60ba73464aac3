"""A folder of open_clip in its published names, narrow and with random weights."""

import json

import torch
from transformers import BertConfig

from alta_sdk.engine.tokenizer import SPECIAL_TOKENS
from alta_training.families import open_clip
from alta_training.families.open_clip import OpenClipModel, TrunkSizes

from .clip import EMBEDDING, SCALING, draw_weights

WORDS = [*SPECIAL_TOKENS, "no", "edema", "there", "is"]


def make_open_clip_weights(width=64, seed=0, context=16):
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=24,
        max_position_embeddings=context + 4,
    )
    sizes = TrunkSizes(2 * width, 2, 2, 41, 96, 32, EMBEDDING)
    return draw_weights(OpenClipModel(sizes, SCALING, config, 10), open_clip.published_name)


def make_open_clip_config(context=16):
    text = {"hf_model_name": "some", "hf_proj_type": "mlp", "hf_pooler_type": "cls_last_hidden_state_pooler"}
    return {
        "model_cfg": {
            "embed_dim": EMBEDDING,
            "vision_cfg": {"timm_model_name": "some", "timm_pool": "", "timm_proj": "linear", "image_size": 96},
            "text_cfg": {**text, "context_length": context},
        },
        "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
    }


def write_open_clip_folder(folder, config=None, weights=None, words=WORDS):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config or make_open_clip_config()))
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    torch.save(weights or make_open_clip_weights(), folder / "open_clip_pytorch_model.bin")
    return folder
