"""What CLIP's tokenizers repair in a text before they split it: rules for a tokenizer.json, and what no rule covers.

The published tokenizers clean a text with ftfy and unescape HTML twice. ftfy is not in the thin install, and a
tokenizer.json can hold plain rules alone: they are written here for what prompts hold, and a text in which the
published cleaning would change anything else is refused, so that no prompt is read differently without a word.
Source: the behaviour of ftfy 6 with its defaults and of Python's `html.unescape`, against which the rules were tried.
"""

import html
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from html.entities import html5
from typing import Any

from ..errors import PromptError

LIGATURES = {
    **{"Ĳ": "IJ", "ĳ": "ij", "ŉ": "ʼn", "Ǳ": "DZ", "ǲ": "Dz", "ǳ": "dz", "Ǆ": "DŽ", "ǅ": "Dž", "ǆ": "dž"},
    **{"Ǉ": "LJ", "ǈ": "Lj", "ǉ": "lj", "Ǌ": "NJ", "ǋ": "Nj", "ǌ": "nj"},
    **{"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "ſt", "ﬆ": "st"},
}
WIDE = {"\u3000": " ", **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}}  # the wide forms of ASCII
OTHER_WIDTHS = re.compile("[\uff5f-\uffef]")  # of Japanese and Korean, whose repair is in no rule
# "&amp;" first, as often as it was escaped; then what becomes ASCII or a space.
ENTITIES = (
    ("&(?:amp;)+", "&"),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;|&#0*34;|&#[xX]0*22;", '"'),
    ("&apos;|&#0*39;|&#[xX]0*27;", "'"),
    ("&nbsp;|&#0*160;|&#[xX]0*[aA]0;", "\xa0"),  # a space among others
)
ANY_ENTITY = re.compile(r"&(#?[0-9A-Za-z]{1,24});")
ENTITY_NAMES = {name.removesuffix(";").lower() for name in html5}  # ftfy takes those in capitals for meant, too
SINGLE_QUOTES, DOUBLE_QUOTES = "[\u02bc\u2018-\u201b]", "[\u201c-\u201f]"
UNSEEN = r"[\u0000-\u0008\u000b\u000e-\u001f\u007f\u206a-\u206f\ufeff\ufff9-\ufffc]"
NEVER = re.compile("[\x1b\x80-\x9f]")  # begins a terminal's command; the second set of control characters
# Encodings of one byte a character, in which UTF-8 is read by mistake; whole texts alone in the last two.
SINGLE_BYTE = ("latin-1", "cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1257", "iso8859-2")
SINGLE_BYTE_WHOLE = ("mac-roman", "cp437")
LEADS = (((0xC0, 0xDF), 1), ((0xE0, 0xEF), 2), ((0xF0, 0xF4), 3))  # first bytes, and how many follow
SPACED = "[ÂÃÅÎÐÙ] "  # a following byte A0, which programs turn into a space


def list_repairs() -> list[tuple[str, str]]:
    """Return the rules in their order: a regular expression, and what stands in its place."""
    return [
        *ENTITIES,
        *LIGATURES.items(),
        *((re.escape(wide), narrow) for wide, narrow in WIDE.items()),
        (SINGLE_QUOTES, "'"),
        (DOUBLE_QUOTES, '"'),
        (UNSEEN, ""),
    ]


def make_repairs() -> list[Any]:
    """Return normalizers of the `tokenizers` library: the rules, then characters with their accents composed."""
    from tokenizers import Regex, normalizers

    rules = (normalizers.Replace(Regex(pattern), content) for pattern, content in list_repairs())
    return [*rules, normalizers.NFC()]


def render_repairs() -> list[dict[str, Any]]:
    """Return how a tokenizer.json writes what `make_repairs` gives."""
    rules = ({"type": "Replace", "pattern": {"Regex": one}, "content": content} for one, content in list_repairs())
    return [*rules, {"type": "NFC"}]


def check_repairable(text: str, what: str) -> None:
    """Raise PromptError for a text that the published cleaning changes beyond the rules; what: "prompt 1 of 2"."""
    if NEVER.search(text):
        raise PromptError(f"{what} holds control characters: take them out")
    if any(unicodedata.normalize("NFKC", found) != found for found in OTHER_WIDTHS.findall(text)):
        raise PromptError(f"{what} holds half-width or full-width letters: write their usual forms")
    if "Σ" in text:  # its lower case depends on what stands around it, which is in no rule
        raise PromptError(f"{what} holds a capital sigma: write σ, or ς at the end of a word")
    by_rule = _replace(text, ENTITIES)
    if "&" in text and _holds_other_entities(text, by_rule):
        raise PromptError(f"{what} holds an HTML entity: write the character itself")
    composed = unicodedata.normalize("NFC", re.sub(UNSEEN, "", by_rule))
    if _is_misread(text) or _is_misread(composed):
        raise PromptError(f"{what} looks like UTF-8 that was read in another encoding: give it as it was written")


def _replace(text: str, rules: Sequence[tuple[str, str]]) -> str:
    for pattern, content in rules:
        text = re.sub(pattern, content, text)
    return text


def _holds_other_entities(text: str, by_rule: str) -> bool:
    """True if HTML entities are left after the rules, or mean something else there than to `html.unescape`."""
    published = html.unescape(html.unescape(text))
    left = any(name.startswith("#") or name.lower() in ENTITY_NAMES for name in ANY_ENTITY.findall(by_rule))
    return left or html.unescape(published) != published or by_rule != published


def _is_misread(text: str) -> bool:
    """True if a text holds what bytes of UTF-8 look like in an encoding of one byte a character.

    ftfy then asks whether the text is likelier after a repair; here the doubt is enough.
    """
    if text.isascii():
        return False
    return _misread_sequences().search(text) is not None or any(_decodes(text, name) for name in SINGLE_BYTE_WHOLE)


def _decodes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding).decode("utf-8")
    except UnicodeError:
        return False
    return True


@cache
def _misread_sequences() -> re.Pattern[str]:
    """Return what finds a first byte of UTF-8 and as many following ones as it announces, each as some character."""
    following = f"[{_characters(0x80, 0xBF)}\ufffd\x1a]"
    sequences = (f"[{_characters(*lead)}]{following}{{{count}}}" for lead, count in LEADS)
    return re.compile("|".join((*sequences, SPACED)))


def _characters(first: int, last: int) -> str:
    """Return what a range of bytes means in the encodings of one byte a character, for a regular expression."""
    found = {bytes([code]).decode(name, "ignore") for code in range(first, last + 1) for name in SINGLE_BYTE}
    return re.escape("".join(sorted(found)))
