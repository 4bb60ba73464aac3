"""Models with random weights and small text models: for tests, speed measurements and the first demo.

Every tensor is random, adapters, norms and embeddings included, so that a merge that forgets one shows.
"""

import math
import string
from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import BertConfig

from alta_sdk.engine.tokenizer import SPECIAL_TOKENS

from ..model import AltaModel
from ..model.sizes import ModelSizes
from .vocabulary import list_prompt_words, write_bert_folder


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


def write_text_model(folder: Path, config: BertConfig, words: Iterable[str] | None = None) -> None:
    """Write a BERT folder of whole words (None: those of the prompts) and pieces of one letter."""
    pieces = [f"##{letter}" for letter in string.ascii_lowercase]
    listed = list_prompt_words() if words is None else words
    vocabulary = list(dict.fromkeys([*SPECIAL_TOKENS, *listed, *pieces, ".", ","]))
    write_bert_folder(folder, config, vocabulary[: config.vocab_size])
