"""Read tokenizer.json, which strangers may have written: only the vocabulary and a few facts are taken from it.

The tokenizer is then built as an export builds it, so that the library's parser, which panics at some forged files
and follows every recipe that it is given, never sees this one. All else in the file must be what an export writes.
Start, end and padding are what the file says they are: families do not share them.
"""

from dataclasses import dataclass
from typing import Any

from ..errors import IntegrityError
from .schema import choice, integer, listing, mapping, parse_json, plain, record, require
from .text_repairs import render_repairs

WORDPIECE, BYTE_PAIRS = "WordPiece", "BPE"
REPAIRED_WORDPIECE = "repaired WordPiece"  # a WordPiece that cleans texts as CLIP's tokenizers do before
SEQUENCE = "Sequence"  # of normalizers, in the library's words
MAX_VOCABULARY = 1 << 21
MAX_WORD = 512
MAX_LENGTH = 1 << 16  # in tokens
PADDING_OF_BERT = "[PAD]"  # what pads where the file does not say it


@dataclass(frozen=True)
class Padding:
    """What fills a row of tokens up. id: the token's. length: of every row; None for the next of few lengths.

    Rows of one length are masked as published: whatever has the padding's id is padding.
    """

    id: int = 0
    length: int | None = None


@dataclass(frozen=True)
class TokenizerFacts:
    """What is taken from a tokenizer.json.

    kind: the library's name of the model, or REPAIRED_WORDPIECE. ids: by token. special: the tokens that are no text,
    start, end and unknown among them. unknown: the token of what the vocabulary lacks, None for a kind that spells it
    in bytes. merges: of byte pairs, by rank.
    """

    kind: str
    ids: dict[str, int]
    lowercase: bool
    start: str
    end: str
    special: tuple[str, ...]
    unknown: str | None = None
    merges: tuple[tuple[str, str], ...] = ()
    padding: Padding = Padding()

    @property
    def ends(self) -> tuple[str, str]:
        """The tokens before and after a prompt."""
        return self.start, self.end


def _flag(value: Any, where: str) -> None:
    require(isinstance(value, bool), where, "is neither true nor false")


def _token(value: Any, where: str) -> None:
    require(isinstance(value, str) and 0 < len(value) <= MAX_WORD, where, "is no token")


def _exactly(expected: Any) -> Any:
    return lambda value, where: require(value == expected, where, "is not as an export writes it")


def _vocabulary(value: Any, where: str) -> None:
    require(isinstance(value, dict), where, "is no vocabulary")


def _merges(value: Any, where: str) -> None:
    require(isinstance(value, list) and len(value) <= MAX_VOCABULARY, where, "is no list of merges")


def _strategy(value: Any, where: str) -> None:
    if value != "BatchLongest":
        record({"Fixed": integer(3, MAX_LENGTH)})(value, where)


_BERT_NORMALIZER = record(
    {
        "type": choice("BertNormalizer"),
        "clean_text": _exactly(True),
        "handle_chinese_chars": _exactly(True),
        "strip_accents": _exactly(None),
        "lowercase": _flag,
    }
)


def _repaired(parts: Any, where: str) -> None:
    require(isinstance(parts, list) and len(parts) > 1, where, "is no list of normalizers")
    _exactly(render_repairs())(parts[:-1], where)
    _BERT_NORMALIZER(parts[-1], where)


def _normalizer(value: Any, where: str) -> None:
    """BERT's, alone or after the repairs of texts."""
    if isinstance(value, dict) and value.get("type") == SEQUENCE:
        record({"type": choice(SEQUENCE), "normalizers": _repaired})(value, where)
    else:
        _BERT_NORMALIZER(value, where)


_ID = integer(0, MAX_VOCABULARY - 1)
_ADDED = record({"id": _ID, "content": _token, "special": _exactly(True)}, other=plain)
_PADDING = record(
    {"strategy": _strategy, "direction": choice("Right"), "pad_id": _ID, "pad_token": _token}, other=plain
)
_TEMPLATE = record({"type": choice("TemplateProcessing"), "single": listing(plain, 3, 3)}, other=plain)
_OF_EVERY_KIND = {"post_processor": _TEMPLATE, "added_tokens": listing(_ADDED, 100, 2)}
CONTENT_BY_KIND = {
    WORDPIECE: record(
        {
            **_OF_EVERY_KIND,
            "model": record(
                {
                    "type": choice(WORDPIECE),
                    "unk_token": _token,
                    "continuing_subword_prefix": choice("##"),
                    "max_input_chars_per_word": integer(100, 100),
                    "vocab": _vocabulary,
                }
            ),
            "normalizer": _normalizer,
            "pre_tokenizer": record({"type": choice("BertPreTokenizer")}),
        },
        other=plain,
    ),
    BYTE_PAIRS: record(
        {
            **_OF_EVERY_KIND,
            "model": record({"type": choice(BYTE_PAIRS), "vocab": _vocabulary, "merges": _merges}, other=plain),
            "normalizer": mapping(plain, 20),
            "pre_tokenizer": mapping(plain, 20),
        },
        other=plain,
    ),
}


def read_tokenizer(json_text: str) -> TokenizerFacts:
    """Return what is taken from a tokenizer.json; raises IntegrityError for what no export writes."""
    try:
        return parse_tokenizer(json_text)
    except ValueError as error:
        raise IntegrityError(f"tokenizer.json cannot be read ({error}): export the bundle again") from error


def parse_tokenizer(json_text: str) -> TokenizerFacts:
    """Do the same; raises ValueError that names the place."""
    content = parse_json(json_text.encode("utf-8", "surrogatepass"))
    model = content.get("model") if isinstance(content, dict) else None
    kind = model.get("type") if isinstance(model, dict) else None
    CONTENT_BY_KIND[kind if kind == BYTE_PAIRS else WORDPIECE](content, "")
    ids: dict[str, int] = content["model"]["vocab"]
    _check_ids(ids)
    special = tuple(token["content"] for token in content["added_tokens"])
    stated = {token["content"]: token["id"] for token in content["added_tokens"]}
    require(len(stated) == len(special), "added_tokens", "holds one token twice")
    require(all(ids.get(token) == number for token, number in stated.items()), "added_tokens", "differs from vocab")
    start, end = _read_ends(content["post_processor"]["single"])
    unknown = content["model"]["unk_token"] if kind == WORDPIECE else None
    needed = (start, end, *((unknown,) if unknown else ()))
    require(set(needed) <= set(special), "added_tokens", "lacks a token that starts or ends a prompt, or is unknown")
    normalizers = content["normalizer"].get("normalizers")
    return TokenizerFacts(
        kind=REPAIRED_WORDPIECE if kind == WORDPIECE and normalizers else content["model"]["type"],
        ids=ids,
        lowercase=kind == BYTE_PAIRS or (normalizers[-1] if normalizers else content["normalizer"])["lowercase"],
        start=start,
        end=end,
        special=special,
        unknown=unknown,
        merges=_read_merges(content["model"]["merges"]) if kind == BYTE_PAIRS else (),
        padding=_read_padding(content.get("padding"), ids, special),
    )


def _check_ids(ids: dict[str, int]) -> None:
    require(0 < len(ids) <= MAX_VOCABULARY, "vocab", "is empty or too long")
    for token, number in ids.items():
        require(len(token) <= MAX_WORD, "vocab", "is no token")
        is_id = type(number) is int and 0 <= number < MAX_VOCABULARY
        require(is_id, "vocab", "holds an id that is none")
    require(len(set(ids.values())) == len(ids), "vocab", "holds one id twice")
    "".join(ids).encode("utf-8")  # halves of characters are no text


def _read_ends(parts: list[Any]) -> tuple[str, str]:
    """Return the tokens before and after one prompt; `type_id`, which is 0 here, is left aside."""
    for part, kind in zip(parts, ("SpecialToken", "Sequence", "SpecialToken"), strict=True):
        record({kind: record({"id": _token}, {"type_id": integer(0, 0)})})(part, "single")
    _exactly("A")(parts[1]["Sequence"]["id"], "single")
    return parts[0]["SpecialToken"]["id"], parts[2]["SpecialToken"]["id"]


def _read_merges(stated: list[Any]) -> tuple[tuple[str, str], ...]:
    """Return pairs of tokens, which files write as a list of two or, before 2024, as one text with a space."""
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in stated]
    for pair in pairs:
        require(isinstance(pair, list) and len(pair) == 2, "merges", "holds what is no pair")
        for token in pair:
            _token(token, "merges")
    "".join(token for pair in pairs for token in pair).encode("utf-8")
    return tuple((left, right) for left, right in pairs)


def _read_padding(stated: Any, ids: dict[str, int], special: tuple[str, ...]) -> Padding:
    if stated is None:
        return Padding(ids[PADDING_OF_BERT] if PADDING_OF_BERT in special else 0)
    _PADDING(stated, "padding")
    require(ids.get(stated["pad_token"]) == stated["pad_id"], "padding", "is by another token than it says")
    strategy = stated["strategy"]
    return Padding(stated["pad_id"], strategy["Fixed"] if isinstance(strategy, dict) else None)
