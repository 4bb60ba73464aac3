"""Prompts of words that the engine does not know: refused where it knows none of them, told where it knows not all.

A prompt without a word that says something ("-", "123", "the", a character that nobody sees) is refused likewise.

Prompts are named by their place, and labels by theirs: no word of them is in a message.
"""

import logging
from collections.abc import Sequence

from ..engine.engine import Engine
from ..engine.label_sets import LabelSet
from ..engine.prompt_words import WordCount, describe_unknown
from ..errors import PromptError

_log = logging.getLogger("alta_sdk")
SHOWN = 10
NO_SCORE = "no word that this engine knows: a score of it would say nothing; ask in the words of its training texts"
NO_WORD = 'no word that says something, only numbers, signs or words such as "the": name a finding'
NOT_IN = "not in the engine's vocabulary: the score may not say what was asked"


def check_labels(engine: Engine, labels: LabelSet) -> list[str]:
    """Return a note for each label with words that the engine does not know, of the prompt that has most of them.

    Raises PromptError for a label with a prompt of which the engine knows no word or that has none that says
    something, and for what cannot be embedded.
    """
    notes = []
    for number, label in enumerate(labels.values(), start=1):
        counts = engine.count_words((*label.positive, *label.negative))
        name = f"label {number} of {len(labels)}"
        says_nothing = next((count for count in counts if _says_nothing(count)), None)
        if says_nothing:
            raise PromptError(f"{name} has {'a prompt with ' if len(counts) > 2 else ''}{_say_why(says_nothing)}")
        worst = max(counts, key=lambda count: count.unknown / max(count.words, 1))
        if worst.unknown:
            notes.append(f"{name}: {_say_share(worst)} {NOT_IN}")
    return notes


def check_prompts(engine: Engine, prompts: Sequence[str], what: str = "prompt") -> list[str]:
    """Return a note of the prompts with words that the engine does not know, or none; raises what `check_labels` does.

    what: how one of them is called, "phrase".
    """
    counts = engine.count_words(prompts)
    for number, count in enumerate(counts, start=1):
        if _says_nothing(count):
            raise PromptError(f"{what} {number} of {len(counts)} has {_say_why(count)}")
    told = [(number, count) for number, count in enumerate(counts, start=1) if count.unknown]
    if not told:
        return []
    shown = ", ".join(f"{number} ({_say_share(count)})" for number, count in told[:SHOWN])
    more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return [f"{what} {shown}{more} of {len(counts)}: {NOT_IN}"]


def check_reports(engine: Engine, reports: Sequence[str]) -> tuple[list[WordCount], list[str]]:
    """Return the words of each report, and a note if the engine does not know all of them.

    Raises PromptError if it knows no word of any report: their order would say nothing. One report without a word
    that says something, of several, is ranked with the others: reports are as they are.
    """
    counts = engine.count_words(reports)
    if all(map(_says_nothing, counts)):
        raise PromptError(f"none of the {len(counts)} reports has a word that this engine knows: it cannot order them")
    return counts, describe_unknown(counts)


def log_notes(notes: Sequence[str]) -> None:
    """Tell what is not known of prompts where the result is numbers alone and has no place for it."""
    for note in notes:
        _log.warning(note)


def _say_share(count: WordCount) -> str:
    return f"{count.unknown} of {count.words} words"


def _says_nothing(count: WordCount) -> bool:
    return count.words == count.unread


def _say_why(count: WordCount) -> str:
    return NO_SCORE if count.words else NO_WORD
