"""Read tokenizer.json, which strangers may have written: only the vocabulary and the lower case are taken from it.

The tokenizer is then built as an export builds it, so that the library's parser, which panics at some forged files
and follows every recipe that it is given, never sees this one. All else in the file must be what an export writes.
"""

from typing import Any

from ..errors import IntegrityError
from .schema import choice, integer, listing, mapping, parse_json, plain, record, require

MAX_VOCABULARY = 1 << 21
MAX_WORD = 512


def _flag(value: Any, where: str) -> None:
    require(isinstance(value, bool), where, "is neither true nor false")


def _token(value: Any, where: str) -> None:
    require(isinstance(value, str) and len(value) <= MAX_WORD, where, "is no token")


def _exactly(expected: Any) -> Any:
    return lambda value, where: require(value == expected, where, "is not as an export writes it")


_SINGLE = [{"SpecialToken": {"id": "[CLS]"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "[SEP]"}}]


def _single(value: Any, where: str) -> None:
    """The parts of one prompt: [CLS], it, [SEP]; `type_id`, which is 0 here, is left aside."""
    listing(plain, 3, 3)(value, where)
    parts = [
        {kind: {k: v for k, v in part.items() if k != "type_id"}} if isinstance(part, dict) else None
        for item in value
        if isinstance(item, dict)
        for kind, part in item.items()
    ]
    _exactly(_SINGLE)(parts, where)


CONTENT = record(
    {
        "model": record(
            {
                "type": choice("WordPiece"),
                "unk_token": choice("[UNK]"),
                "continuing_subword_prefix": choice("##"),
                "max_input_chars_per_word": integer(100, 100),
                "vocab": lambda value, where: require(isinstance(value, dict), where, "is no vocabulary"),
            }
        ),
        "normalizer": record(
            {
                "type": choice("BertNormalizer"),
                "clean_text": _exactly(True),
                "handle_chinese_chars": _exactly(True),
                "strip_accents": _exactly(None),
                "lowercase": _flag,
            }
        ),
        "pre_tokenizer": record({"type": choice("BertPreTokenizer")}),
        "post_processor": record({"type": choice("TemplateProcessing"), "single": _single}, other=plain),
        "added_tokens": listing(mapping(plain, 20), 100),
    },
    other=plain,
)


def read_vocabulary(json_text: str) -> tuple[dict[str, int], bool]:
    """Return a tokenizer.json's ids by token, and whether prompts are lower-cased.

    Raises IntegrityError for what no export writes.
    """
    try:
        content = parse_json(json_text.encode("utf-8", "surrogatepass"))
        CONTENT(content, "")
        ids: dict[str, int] = content["model"]["vocab"]
        require(0 < len(ids) <= MAX_VOCABULARY, "vocab", "is empty or too long")
        for token, number in ids.items():
            _token(token, "vocab")
            is_id = type(number) is int and 0 <= number < MAX_VOCABULARY
            require(is_id, "vocab", "holds an id that is none")
        require(len(set(ids.values())) == len(ids), "vocab", "holds one id twice")
        "".join(ids).encode("utf-8")  # halves of characters are no text
    except ValueError as error:
        raise IntegrityError(f"tokenizer.json cannot be read ({error}): export the bundle again") from error
    return ids, content["normalizer"]["lowercase"]
