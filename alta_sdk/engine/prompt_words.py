"""What of a prompt an engine can read: is it text at all, and which of its words are in the vocabulary.

A word that the vocabulary lacks was never learned. WordPiece gives it as [UNK], the same for every such word, or
spells it letter by letter: either way a score comes out that does not say what was asked. So both are counted.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import PromptError

SPELLED = 0.5  # a word of which at least this share stands in pieces of one letter is spelled, not known
# Words that say nothing of a radiograph without another: "There is X" is about X alone.
FRAME = frozenset(
    "a an and any are as at be been by evidence for from has have in is it no not of on or seen shows sign signs "
    "that the there these this to was were with without".split()
)


@dataclass(frozen=True)
class WordCount:
    """The words of a text that say something: not the frame ("there is no"), numbers and signs that are known.

    unread: those that are [UNK]. unknown: these, and those that are spelled letter by letter.
    """

    words: int
    unknown: int
    unread: int

    @property
    def is_unread(self) -> bool:
        """True if the engine reads none of the words: every other such text gives the same vector."""
        return 0 < self.words == self.unread


def list_texts(given: Any, what: str) -> list[str]:
    """Return a caller's texts as a list; what: "prompts", for the message.

    Raises PromptError for one string, for what is no list, and for an item that is not text.
    """
    if isinstance(given, str | bytes | bytearray | memoryview | np.ndarray) or not isinstance(given, Iterable):
        raise PromptError(f"{what} must be a list of phrases, not one string or another kind of value")
    texts = list(given)
    for number, text in enumerate(texts, start=1):
        check_text(text, f"{number} of {len(texts)} {what}")
    return texts


def check_text(text: Any, what: str) -> None:
    """Raise PromptError unless a value is a string of whole characters; what: "phrase", for the message."""
    if not isinstance(text, str):
        raise PromptError(f"{what} is not text: give one string")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PromptError(f"{what} holds half a character (a surrogate): give text in UTF-8") from error


def count_words(text: str, encoding: Any, special_ids: Collection[int]) -> WordCount:
    """Count what an encoding of `tokenizers` made of a text's words; special_ids: [UNK] and the like."""
    pieces: dict[int, list[int]] = {}  # by word: the places of its tokens, which [CLS] and [SEP] are not
    for place, word in enumerate(encoding.word_ids):
        if word is not None:
            pieces.setdefault(word, []).append(place)
    words = unknown = unread = 0
    ids, offsets = encoding.ids, encoding.offsets
    for places in pieces.values():
        spans = [offsets[place] for place in places]
        word = text[spans[0][0] : spans[-1][1]]
        is_unread = any(ids[place] in special_ids for place in places)
        says = len(word) > 1 or not word.isascii()  # a letter alone is none: "p n e u m o n i a" is no finding
        if word.lower() not in FRAME and (is_unread or says and any(map(str.isalpha, word))):
            words += 1
            unread += is_unread
            unknown += is_unread or _is_spelled(spans)
    return WordCount(words, unknown, unread)


def describe_unknown(counts: Sequence[WordCount], what: str = "reports") -> list[str]:
    """Return a line on the words of many texts that the vocabulary lacks, or nothing if it has all."""
    words, unknown = (sum(getattr(count, name) for count in counts) for name in ("words", "unknown"))
    if not unknown:
        return []
    with_some, with_none = sum(bool(count.unknown) for count in counts), sum(count.is_unread for count in counts)
    told = f"{unknown:,} of {words:,} words are not in the vocabulary ({unknown / words:.1%})"
    return [f"{what}: {told}, in {with_some:,} of {len(counts):,} {what}; {with_none:,} have no word that is known"]


def _is_spelled(pieces: Sequence[tuple[int, int]]) -> bool:
    """True if a word's pieces, as spans of the text, are mostly single letters; a word of one piece is known."""
    single = sum(end - start == 1 for start, end in pieces)
    return len(pieces) > 1 and single >= SPELLED * (pieces[-1][1] - pieces[0][0])
