"""Models with random weights and small text models: for tests, speed measurements and the first demo.

Every tensor is random, adapters, norms and embeddings included, so that a merge that forgets one shows.
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import BertConfig

from alta_sdk.prompts import build_label_sets, clean_report_text
from alta_sdk.tokenizer import SPECIAL_TOKENS

from .model import AltaModel
from .model.sizes import ModelSizes

CONFIG_NAMES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "hidden_act",
    "layer_norm_eps",
)


def make_random_model(sizes: ModelSizes, seed: int) -> AltaModel:
    """Make a model whose every parameter is drawn from a seeded generator, at scales that keep signals alive."""
    model = AltaModel(sizes)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("pos_embed") or parameter.ndim == 0:
                continue  # fixed by formula; the temperatures keep their start
            if "norm" in name.lower():
                parameter.copy_(0.1 * noise + (1.0 if name.endswith("weight") else 0.0))
            elif parameter.ndim == 1 or "embedding" in name or "token" in name:
                parameter.copy_(0.1 * noise)
            else:
                parameter.copy_(noise / math.sqrt(parameter[0].numel()))
    return model.eval()


def list_prompt_words() -> list[str]:
    """Return the words of the built-in label sets and letters, in a fixed order."""
    prompts = [
        prompt
        for labels in build_label_sets().values()
        for label in labels.values()
        for prompt in (*label.positive, *label.negative)
    ]
    words = sorted({word for prompt in prompts for word in clean_report_text(prompt).split()})
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    return [*dict.fromkeys([*letters, *words])]


def write_text_model(folder: Path, config: BertConfig, words: Iterable[str]) -> None:
    """Write a BERT folder: config.json, vocab.txt (special tokens, words, pieces of one letter, unused)."""
    words = list(words)
    pieces = [f"##{chr(code)}" for code in range(ord("a"), ord("z") + 1)]
    vocabulary = list(dict.fromkeys([*SPECIAL_TOKENS, *words, *pieces, ".", ","]))
    vocabulary += [f"[unused{number}]" for number in range(config.vocab_size - len(vocabulary))]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary[: config.vocab_size]) + "\n", encoding="utf-8")
    content = {"model_type": "bert", **{name: getattr(config, name) for name in CONFIG_NAMES}}
    (folder / "config.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}) + "\n", encoding="utf-8")
