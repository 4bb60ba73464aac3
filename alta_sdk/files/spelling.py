"""Text of strangers as it is shown: what a screen would obey, or hide, is spelled as an escape.

The threat: a notice of an engine, a name in a checkpoint or of a file that clears the screen, hides what follows,
turns the order of letters round or begins a line of its own, and so forges what a person reads.
"""

import re
import unicodedata

# Control characters (line feeds, too), formats (bidi overrides, invisible ones), separators of lines, halves of pairs.
OBEYED = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})
JOINERS = "\u200c\u200d"  # letters of Persian, Hindi and others need them; they reorder and hide nothing
_PLAIN = re.compile(r"[ -~]*")


def spell(text: object) -> str:
    """Return text with every character that a screen obeys or hides as an escape: \\x1b, \\n, \\u202e."""
    given = str(text)
    if _PLAIN.fullmatch(given):
        return given
    return "".join(_escape(one) if _is_obeyed(one) else one for one in given)


def _is_obeyed(one: str) -> bool:
    return one not in JOINERS and unicodedata.category(one) in OBEYED


def _escape(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")
