"""Prompts of words that the engine does not know: refused where it knows none of them, told where it knows not all.

Prompts are named by their place, and labels by theirs: no word of them is in a message.
"""

from collections.abc import Sequence

from ..engine.engine import Engine
from ..engine.label_sets import LabelSet
from ..engine.prompt_words import WordCount, describe_unknown
from ..errors import PromptError

SHOWN = 10
NO_SCORE = "no word that this engine knows: a score of it would say nothing; ask in the words of its training texts"
NOT_IN = "not in the engine's vocabulary: the score may not say what was asked"


def check_labels(engine: Engine, labels: LabelSet) -> list[str]:
    """Return a note for each label with words that the engine does not know, of the prompt that has most of them.

    Raises PromptError for a label with a prompt of which the engine knows no word, and for what cannot be embedded.
    """
    notes = []
    for number, label in enumerate(labels.values(), start=1):
        counts = engine.count_words((*label.positive, *label.negative))
        name = f"label {number} of {len(labels)}"
        if any(count.is_unread for count in counts):
            raise PromptError(f"{name} has {'a prompt with ' if len(counts) > 2 else ''}{NO_SCORE}")
        worst = max(counts, key=lambda count: count.unknown / max(count.words, 1))
        if worst.unknown:
            notes.append(f"{name}: {_say_share(worst)} {NOT_IN}")
    return notes


def check_prompts(engine: Engine, prompts: Sequence[str], what: str = "prompt") -> list[str]:
    """Return a note of the prompts with words that the engine does not know, or none; raises what `check_labels` does.

    what: how one of them is called, "phrase".
    """
    counts = engine.count_words(prompts)
    unread = [number for number, count in enumerate(counts, start=1) if count.is_unread]
    if unread:
        raise PromptError(f"{what} {unread[0]} of {len(counts)} has {NO_SCORE}")
    told = [(number, count) for number, count in enumerate(counts, start=1) if count.unknown]
    if not told:
        return []
    shown = ", ".join(f"{number} ({_say_share(count)})" for number, count in told[:SHOWN])
    more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return [f"{what} {shown}{more} of {len(counts)}: {NOT_IN}"]


def check_reports(engine: Engine, reports: Sequence[str]) -> tuple[list[WordCount], list[str]]:
    """Return the words of each report, and a note if the engine does not know all of them.

    Raises PromptError if it knows no word of any report: their order would say nothing.
    """
    counts = engine.count_words(reports)
    if all(count.is_unread for count in counts):
        raise PromptError(f"none of the {len(counts)} reports has a word that this engine knows: it cannot order them")
    return counts, describe_unknown(counts)


def _say_share(count: WordCount) -> str:
    return f"{count.unknown} of {count.words} words"
