"""A text model of one's own: a WordPiece vocabulary taken from reports, and the folder that holds it."""

import json
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from transformers import BertConfig

from alta_sdk.engine.tokenizer import SPECIAL_TOKENS
from alta_sdk.errors import TrainingError
from alta_sdk.matching.prompts import build_label_sets, clean_report_text

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
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
)
PUNCTUATION = ".,:;()/-'%"


def list_prompt_words() -> list[str]:
    """Return the words of the built-in label sets and letters, in a fixed order."""
    prompts = [
        prompt
        for labels in build_label_sets().values()
        for label in labels.values()
        for prompt in (*label.positive, *label.negative)
    ]
    words = sorted({word for prompt in prompts for word in clean_report_text(prompt).split()})
    return [*dict.fromkeys([*string.ascii_lowercase, *words])]


def learn_vocabulary(texts: Iterable[str], size: int) -> list[str]:
    """Take a lower-case vocabulary of at most `size` tokens from texts; the same texts give the same list.

    First what is always there: special tokens, letters and digits with their inner pieces, so that no
    English word is unknown, and the words of the built-in label sets. Then the texts' words, the most
    frequent first. Whole words only: the WordPiece trainer of `tokenizers` breaks ties by hash order, so
    its list differs from run to run, and reports use few words.
    Raises TrainingError if size does not hold what is always there.
    """
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    characters = string.ascii_lowercase + string.digits
    always = [*SPECIAL_TOKENS, *characters, *(f"##{c}" for c in characters), *PUNCTUATION, *list_prompt_words()]
    always = list(dict.fromkeys(always))
    if size < len(always):
        raise TrainingError(f"vocabulary {size} is too small: the prompts alone need {len(always)} tokens")
    normalizer, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    frequent = sorted(counts, key=lambda word: (-counts[word], word))
    return list(dict.fromkeys([*always, *frequent]))[:size]


def write_bert_folder(folder: Path, config: BertConfig, vocabulary: Sequence[str]) -> None:
    """Write config.json, vocab.txt (filled up with unused tokens) and tokenizer_config.json.

    Raises TrainingError if the vocabulary is larger than the configuration's.
    """
    spare = config.vocab_size - len(vocabulary)
    if spare < 0:
        raise TrainingError(f"the vocabulary has {-spare} tokens more than the text tower's {config.vocab_size}")
    lines = [*vocabulary, *(f"[unused{number}]" for number in range(spare))]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    content = {"model_type": "bert", **{name: getattr(config, name) for name in CONFIG_NAMES}}
    (folder / "config.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}) + "\n", encoding="utf-8")
