"""How many words of the texts that a run learns from its vocabulary lacks: counted as the engine counts a prompt's."""

from collections.abc import Sequence

from alta_sdk.engine.prompt_words import WordCount
from alta_sdk.engine.tokenizer import PromptTokenizer, build_wordpiece
from alta_sdk.errors import TrainingError

from ..families.checkpoint import TextModel

UNKNOWN_WORDS = "unknown_words"  # the key in a checkpoint's metadata


def count_unknown_words(reports: Sequence[str], text_model: TextModel) -> list[WordCount]:
    """Return the words of each report, and how many of them the vocabulary lacks.

    Raises TrainingError if it has no word of any report: nothing could be learned.
    """
    vocabulary = build_wordpiece(text_model.vocabulary, lowercase=text_model.lowercase)
    counts = PromptTokenizer(vocabulary, text_model.config.max_position_embeddings).count(reports)
    if all(count.is_unread for count in counts):
        raise TrainingError(
            f"none of the {len(counts)} reports has a word of the text model's vocabulary: give a text model of the "
            "reports' language"
        )
    return counts


def state_unknown_words(counts: Sequence[WordCount]) -> str:
    """Return what a checkpoint states of them: "5 of 40"."""
    return f"{sum(count.unknown for count in counts)} of {sum(count.words for count in counts)}"
