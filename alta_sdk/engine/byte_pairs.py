"""CLIP's byte-pair encoding as a tokenizer of the `tokenizers` library, made of its merges.

Token for token what the published tokenizer gives: its cleaning as far as `text_repairs` has rules for it, lower
case, its split into words, letters of bytes, merges by rank, a token for the start and one for the end.
Source: Radford et al. 2021; OpenAI's `simple_tokenizer.py` and CheXzero's copy.
"""

import re
from collections.abc import Sequence
from typing import Any

from ..errors import PromptError
from .text_repairs import make_repairs
from .tokenizer_file import TokenizerFacts

Merges = Sequence[tuple[str, str]]

START, END = "<|startoftext|>", "<|endoftext|>"
SPECIAL = re.compile(f"{re.escape(START)}|{re.escape(END)}", re.IGNORECASE)
END_OF_WORD = "</w>"
PADDING_ID = 0  # as published: the token "!", which stands after the end and is never read there
WORDS = r"'[sſ]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


def build_byte_pairs(merges: Merges, max_tokens: int) -> str:
    """Return the tokenizer.json of CLIP's tokenizer; it pads to max_tokens and cuts there, the end token kept.

    Raises PromptError for merges of what no earlier merge made.
    """
    tokenizer = make_byte_pairs(merges)
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(length=max_tokens, pad_id=PADDING_ID, pad_token=tokenizer.id_to_token(PADDING_ID))
    text: str = tokenizer.to_str()
    return text


def make_byte_pairs(merges: Merges) -> Any:
    """Return CLIP's tokenizer of merges in the order of their rank, without padding.

    Raises PromptError for merges of what no earlier merge made.
    """
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import BPE
    from tokenizers.processors import TemplateProcessing

    ids = number_tokens(merges)
    tokenizer = Tokenizer(BPE(ids, list(merges), end_of_word_suffix=END_OF_WORD))
    tokenizer.add_special_tokens([START, END])
    tokenizer.normalizer = normalizers.Sequence(
        [
            *make_repairs(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(name, ids[name]) for name in (START, END)]
    )
    return tokenizer


def make_of_facts(facts: TokenizerFacts) -> Any:
    """Return CLIP's tokenizer of what was read of a tokenizer.json, without padding.

    Raises ValueError or PromptError for another one's.
    """
    if facts.ends != (START, END):
        raise ValueError("the tokens that start and end a prompt are not CLIP's")
    return make_byte_pairs(facts.merges)


def number_tokens(merges: Merges) -> dict[str, int]:
    """Return the id of each token: letters, letters that end a word, what merges make, start and end.

    Raises PromptError for merges of what no earlier merge made, or that make a token twice.
    """
    letters = list_letters()
    ids = {token: number for number, token in enumerate([*letters, *(letter + END_OF_WORD for letter in letters)])}
    for rank, (left, right) in enumerate(merges, start=1):
        if left not in ids or right not in ids:
            raise PromptError(f"merge {rank} of {len(merges)} joins what is no token: it is not CLIP's merges file")
        if left + right in ids:
            raise PromptError(f"merge {rank} of {len(merges)} makes a token twice: it is not CLIP's merges file")
        ids[left + right] = len(ids)
    return {**ids, START: len(ids), END: len(ids) + 1}


def list_letters() -> list[str]:
    """Return the letter of each of the 256 bytes in the order of their ids: visible characters of Latin-1 first.

    Bytes that are none of these get letters of their own, from U+0100 on.
    """
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*map(chr, visible), *(chr(0x100 + number) for number in range(256 - len(visible)))]
