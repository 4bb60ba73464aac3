"""From prompts to token ids by one JSON file in the bundle; training and export build it here, too.

It comes from a vocab.txt (`build_wordpiece`), from a text model's own tokenizer.json (`adopt_tokenizer`), or from
CLIP's merges (`byte_pairs.py`). `KINDS` says how a kind of tokenizer is built from what was read of the file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError, IntegrityError, PromptError
from .byte_pairs import make_of_facts
from .manifest_content import AS_IS, STRIP_FINAL_PUNCTUATION
from .prompt_words import WordCount, check_text, count_words
from .schema import require
from .text_repairs import check_repairable, make_repairs
from .tokenizer_file import (
    BYTE_PAIRS,
    REPAIRED_WORDPIECE,
    WORDPIECE,
    Padding,
    TokenizerFacts,
    parse_tokenizer,
    read_tokenizer,
)

LENGTH_STEP = 16
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # of BERT, for a vocab.txt, which names none
FINAL_PUNCTUATION = "!?."
BERT_PADDING = Padding()
MAX_JSON = 64 << 20  # characters of a tokenizer.json, as the bundle has it in bytes


def split_vocabulary(text: str) -> list[str]:
    """Return the tokens of a vocab.txt, one a line; a token's id is its line number.

    Lines end at newlines alone, as BERT's own reader has it: `str.splitlines` would cut a token at U+2028 and the
    like, and give every later token another id.
    """
    return text.removesuffix("\n").split("\n")


def build_wordpiece(
    vocabulary: Sequence[str], *, lowercase: bool = True, length: int | None = None, repairs: bool = False
) -> str:
    """Return the tokenizer.json of a BERT WordPiece tokenizer.

    vocabulary: the lines of vocab.txt; a token's id is its line number. length: what every prompt is padded to, in
    tokens; None for the next of few lengths. repairs: texts are cleaned as CLIP's tokenizers do before.
    Raises PromptError if a special token of BERT is not in it.
    """
    ids = {token: number for number, token in enumerate(vocabulary)}
    missing = [token for token in SPECIAL_TOKENS if token not in ids]
    if missing:
        raise PromptError(f"vocabulary lacks {', '.join(missing)}: it is not a BERT vocabulary")
    padding, unknown, start, end, _ = SPECIAL_TOKENS
    kind = REPAIRED_WORDPIECE if repairs else WORDPIECE
    facts = TokenizerFacts(kind, ids, lowercase, start, end, SPECIAL_TOKENS, unknown)
    return _render(facts, Padding(ids[padding], length))


def adopt_tokenizer(json_text: str, *, length: int | None = None, repairs: bool = False) -> str:
    """Return the tokenizer.json of a bundle from that of a text model's folder, with what the SDK reads alone.

    length, repairs: as in `build_wordpiece`; they and nothing in the file decide. Raises CheckpointError for a
    tokenizer of another kind.
    """
    try:
        require(len(json_text) <= MAX_JSON, "it", f"has more than {MAX_JSON} characters")
        facts = parse_tokenizer(json_text)
        require(not repairs or facts.kind == WORDPIECE, "model", "is no WordPiece")
    except ValueError as error:
        raise CheckpointError(f"tokenizer.json of the text model cannot be used: {error}; give vocab.txt") from error
    adopted = replace(facts, kind=REPAIRED_WORDPIECE) if repairs else facts
    return _render(adopted, Padding(facts.padding.id, length))


def _render(facts: TokenizerFacts, padding: Padding) -> str:
    tokenizer = find_kind(facts).make(facts)
    if padding.length is not None:
        token = tokenizer.id_to_token(padding.id)
        tokenizer.enable_padding(length=padding.length, pad_id=padding.id, pad_token=token)
    text: str = tokenizer.to_str()
    return text


def find_kind(facts: TokenizerFacts) -> "TokenizerKind":
    """Return how the tokenizer of what was read from a file is built; raise IntegrityError if nothing builds it."""
    if facts.kind not in KINDS:
        raise IntegrityError("tokenizer.json is of a kind that this version does not build: upgrade alta-sdk")
    return KINDS[facts.kind]


def make_wordpiece(facts: TokenizerFacts) -> Any:
    """Return a BERT WordPiece tokenizer of tokens and their ids.

    Source: Devlin et al. 2019; equal to transformers' BertTokenizer, which a test checks.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.normalizers import Sequence as Normalizers
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer(WordPiece(facts.ids, unk_token=facts.unknown, max_input_chars_per_word=100))
    tokenizer.add_special_tokens(list(facts.special))
    own = BertNormalizer(lowercase=facts.lowercase)
    tokenizer.normalizer = Normalizers([*make_repairs(), own]) if facts.kind == REPAIRED_WORDPIECE else own
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single=[facts.start, "$A", facts.end], special_tokens=[(name, facts.ids[name]) for name in facts.ends]
    )
    return tokenizer


@dataclass(frozen=True)
class TokenizerKind:
    """How a kind of tokenizer is built from what was read of its file, and which prompts it cannot read.

    check: raises PromptError for one of those; it is given the prompt and what to call it ("prompt 1 of 2").
    """

    make: Callable[[TokenizerFacts], Any]
    check: Callable[[str, str], None] = check_text


KINDS = {
    WORDPIECE: TokenizerKind(make_wordpiece),
    REPAIRED_WORDPIECE: TokenizerKind(make_wordpiece, check_repairable),
    BYTE_PAIRS: TokenizerKind(make_of_facts, check_repairable),
}


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt's token ids, unpadded, and how many of its words the vocabulary knows."""

    ids: list[int]
    words: WordCount


class PromptTokenizer:
    """Turns prompts into padded token ids; safe to use from several threads."""

    def __init__(self, json_text: str, max_tokens: int, rule: str = AS_IS) -> None:
        """Load a tokenizer.json; `max_tokens` is the longest input of the text tower, with its start and end.

        rule: the manifest's `prompt_rule`. Raises IntegrityError for one that no export writes.
        """
        facts = read_tokenizer(json_text)
        kind = find_kind(facts)
        try:
            self._tokenizer: Any = kind.make(facts)
            is_whole = self._tokenizer.get_vocab() == facts.ids
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # tokenizers raises plain Exception, and panics, which are none
            raise IntegrityError("tokenizer.json cannot be used: export the bundle again") from error
        if not is_whole or (facts.padding.length or 0) > max_tokens:
            raise IntegrityError("tokenizer.json does not fit itself or the engine: export the bundle again")
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._special_ids = {facts.ids[token] for token in facts.special}
        self._check = kind.check
        self._rule = rule
        # ALTA reads them as words that it does not know; the other families' published code refuses them.
        self._refused = () if (facts.kind, rule) == (WORDPIECE, AS_IS) else facts.special
        self.padding = facts.padding
        self.max_tokens = max_tokens

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each prompt, unpadded; raises what `read` raises."""
        return [prompt.ids for prompt in self.read(prompts)]

    def read(self, prompts: Sequence[str]) -> list[EncodedPrompt]:
        """Return each prompt's token ids, and how many of its words are known.

        Raises PromptError for one that is not text, is empty or holds a special token of a family that refuses
        them, and for one that is too long: a prompt is never cut, since its end may turn its meaning round.
        """
        for number, prompt in enumerate(prompts, start=1):
            what = f"prompt {number} of {len(prompts)}"
            check_text(prompt, what)
            self._check(prompt, what)
            if any(token.lower() in prompt.lower() for token in self._refused):
                raise PromptError(f"{what} holds a special token: give words alone")
        texts = [self._prepare(prompt) for prompt in prompts]
        encoded = self._tokenizer.encode_batch(texts)
        for number, item in enumerate(encoded, start=1):
            if len(item.ids) <= 2:
                raise PromptError(f"prompt {number} of {len(encoded)} is empty: give a phrase")
            if len(item.ids) > self.max_tokens:
                raise PromptError(
                    f"prompt {number} of {len(encoded)} has {len(item.ids)} tokens, the engine reads "
                    f"{self.max_tokens}: shorten it or split it into sentences"
                )
        return [
            EncodedPrompt(list(item.ids), count_words(text, item, self._special_ids))
            for text, item in zip(texts, encoded, strict=True)
        ]

    def count(self, texts: Sequence[str]) -> list[WordCount]:
        """Count the words of whole texts of any length, and those that are not known; raises PromptError."""
        for number, text in enumerate(texts, start=1):
            check_text(text, f"text {number} of {len(texts)}")
        # One by one: a batch is encoded by threads, which a process that forks later must not have had.
        prepared = map(self._prepare, texts)
        return [count_words(text, self._tokenizer.encode(text), self._special_ids) for text in prepared]

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

    def pad(self, encoded: Sequence[Sequence[int]], rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Do what `pad_tokens` does, with this tokenizer's padding and longest input."""
        return pad_tokens(encoded, rows, self.max_tokens, self.padding)

    def padded_length(self, ids: Sequence[int]) -> int:
        """Return the number of tokens that a prompt's row has if it runs alone, at most the longest input aside."""
        return padded_length(ids) if self.padding.length is None else self.padding.length

    def _prepare(self, prompt: str) -> str:
        """Return what is tokenized of a prompt, by the family's rule."""
        return prompt.rstrip(FINAL_PUNCTUATION) if self._rule == STRIP_FINAL_PUNCTUATION else prompt


def padded_length(ids: Sequence[int]) -> int:
    """Return the number of tokens rounded up to a multiple of 16."""
    return -(-len(ids) // LENGTH_STEP) * LENGTH_STEP


def pad_tokens(
    encoded: Sequence[Sequence[int]], rows: int, max_tokens: int, padding: Padding = BERT_PADDING
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pad token ids to `rows` rows and a length that is a multiple of 16 (at most max_tokens), or the padding's own.

    Returns input_ids and attention_mask, both (rows, length) int64. Few distinct shapes, so that a
    prompt's numbers do not depend on the prompts beside it.
    """
    length = padding.length or min(max(map(padded_length, encoded)), max_tokens)
    input_ids = np.full((rows, length), padding.id, dtype=np.int64)
    attention_mask = np.zeros((rows, length), dtype=np.int64)
    for row, ids in enumerate(encoded):
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    if padding.length is not None:
        attention_mask[:] = input_ids != padding.id
    return input_ids, attention_mask
