"""WordPiece as in BERT, from one JSON file in the bundle; training and export build it here, too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IntegrityError, PromptError
from .prompt_words import WordCount, check_text, count_words
from .tokenizer_file import read_vocabulary

LENGTH_STEP = 16
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def split_vocabulary(text: str) -> list[str]:
    """Return the tokens of a vocab.txt, one a line; a token's id is its line number.

    Lines end at newlines alone, as BERT's own reader has it: `str.splitlines` would cut a token at U+2028 and the
    like, and give every later token another id.
    """
    return text.removesuffix("\n").split("\n")


def build_wordpiece(vocabulary: Sequence[str], *, lowercase: bool = True) -> str:
    """Return the tokenizer.json of a BERT WordPiece tokenizer.

    vocabulary: the lines of vocab.txt; a token's id is its line number.
    Raises what `make_wordpiece` raises.
    """
    ids = {token: number for number, token in enumerate(vocabulary)}
    text: str = make_wordpiece(ids, lowercase=lowercase).to_str()
    return text


def make_wordpiece(ids: dict[str, int], *, lowercase: bool) -> Any:
    """Return a BERT WordPiece tokenizer of tokens and their ids.

    Raises PromptError if a special token of BERT is not in it.
    Source: Devlin et al. 2019; equal to transformers' BertTokenizer, which a test checks.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing

    missing = [token for token in SPECIAL_TOKENS if token not in ids]
    if missing:
        raise PromptError(f"vocabulary lacks {', '.join(missing)}: it is not a BERT vocabulary")
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.normalizer = BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, ids[name]) for name in ("[CLS]", "[SEP]")]
    )
    return tokenizer


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt's token ids, unpadded, and how many of its words the vocabulary knows."""

    ids: list[int]
    words: WordCount


class PromptTokenizer:
    """Turns prompts into padded token ids; safe to use from several threads."""

    def __init__(self, json_text: str, max_tokens: int) -> None:
        """Load a tokenizer.json; `max_tokens` is the longest input of the text tower, with [CLS] and [SEP].

        Raises IntegrityError for one that no export writes.
        """
        ids, lowercase = read_vocabulary(json_text)
        try:
            self._tokenizer: Any = make_wordpiece(ids, lowercase=lowercase)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # tokenizers raises plain Exception, and panics, which are none
            raise IntegrityError("tokenizer.json cannot be used: export the bundle again") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._special_ids = {ids[token] for token in SPECIAL_TOKENS}
        self.max_tokens = max_tokens

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each prompt, unpadded; raises what `read` raises."""
        return [prompt.ids for prompt in self.read(prompts)]

    def read(self, prompts: Sequence[str]) -> list[EncodedPrompt]:
        """Return each prompt's token ids, and how many of its words are known.

        Raises PromptError for one that is not text or is empty, and for one that is too long: a prompt is never
        cut, since its end may turn its meaning round.
        """
        for number, prompt in enumerate(prompts, start=1):
            check_text(prompt, f"prompt {number} of {len(prompts)}")
        encoded = self._tokenizer.encode_batch(list(prompts))
        for number, item in enumerate(encoded, start=1):
            if len(item.ids) <= 2:
                raise PromptError(f"prompt {number} of {len(encoded)} is empty: give a phrase")
            if len(item.ids) > self.max_tokens:
                raise PromptError(
                    f"prompt {number} of {len(encoded)} has {len(item.ids)} tokens, the engine reads "
                    f"{self.max_tokens}: shorten it or split it into sentences"
                )
        return [
            EncodedPrompt(list(item.ids), count_words(prompt, item, self._special_ids))
            for prompt, item in zip(prompts, encoded, strict=True)
        ]

    def count(self, texts: Sequence[str]) -> list[WordCount]:
        """Count the words of whole texts of any length, and those that are not known; raises PromptError."""
        for number, text in enumerate(texts, start=1):
            check_text(text, f"text {number} of {len(texts)}")
        # One by one: a batch is encoded by threads, which a process that forks later must not have had.
        return [count_words(text, self._tokenizer.encode(text), self._special_ids) for text in texts]

    def cut(self, text: str) -> str:
        """Return a text, cut after the last whole word that fits; for reports in evaluation, never for prompts."""
        encoded = self._tokenizer.encode(text)
        if len(encoded.ids) <= self.max_tokens:
            return text
        words = encoded.word_ids
        last = self.max_tokens - 1  # this token makes room for [SEP]
        while last > 1 and words[last] == words[last - 1]:
            last -= 1
        return text[: encoded.offsets[last - 1][1]]


def padded_length(ids: Sequence[int]) -> int:
    """Return the number of tokens rounded up to a multiple of 16."""
    return -(-len(ids) // LENGTH_STEP) * LENGTH_STEP


def pad_tokens(
    encoded: Sequence[Sequence[int]], rows: int, max_tokens: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pad token ids to `rows` rows and a length that is a multiple of 16 (at most max_tokens).

    Returns input_ids and attention_mask, both (rows, length) int64. Few distinct shapes, so that a
    prompt's numbers do not depend on the prompts beside it.
    """
    length = min(max(map(padded_length, encoded)), max_tokens)
    input_ids = np.zeros((rows, length), dtype=np.int64)
    attention_mask = np.zeros((rows, length), dtype=np.int64)
    for row, ids in enumerate(encoded):
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    return input_ids, attention_mask
