"""Rules for JSON that strangers may have written: types, ranges, lengths and depth, said once and checked as a whole.

A rule is called with a value and where it stands, and raises ValueError, which names the place and never the value.
A library such as jsonschema would be 3 MB and another compiled part in the thin install for what fits on a screen.
"""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

Rule = Callable[[Any, str], None]

MAX_DEPTH = 8
MAX_ITEMS = 100_000
MAX_TEXT = 10_000
# Letters that turn the direction of a line round can make it say something else than it holds.
TURNS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
NO_LETTERS = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, separators of lines


def parse_json(data: bytes) -> Any:
    """Return what JSON bytes in UTF-8 say; raise ValueError for what is not JSON, or is nested without end."""
    try:
        return json.loads(data.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def require(holds: bool, where: str, what: str) -> None:
    """Raise ValueError unless it holds."""
    if not holds:
        raise ValueError(f"{where or 'it'} {what}")


def text(longest: int = MAX_TEXT, *, lines: bool = False) -> Rule:
    """Text without control characters; lines: it may have several, and tabs."""
    allowed = "\n\t" if lines else ""

    def check(value: Any, where: str) -> None:
        require(isinstance(value, str) and len(value) <= longest, where, f"is not a text of at most {longest}")
        odd = any(unicodedata.category(c) in NO_LETTERS or c in TURNS for c in value if c not in allowed)
        require(not odd, where, "holds control characters")

    return check


def matching(pattern: str, what: str) -> Rule:
    """Text of one form."""

    def check(value: Any, where: str) -> None:
        require(isinstance(value, str) and re.fullmatch(pattern, value) is not None, where, f"is not {what}")

    return check


def choice(*names: str) -> Rule:
    """One of a few words."""
    return lambda value, where: require(
        isinstance(value, str) and value in names, where, f"is none of {', '.join(names)}"
    )


def boolean(value: Any, where: str) -> None:
    """True or false."""
    require(isinstance(value, bool), where, "is neither true nor false")


def integer(low: int, high: int) -> Rule:
    """A whole number in a range, both ends included."""

    def check(value: Any, where: str) -> None:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        require(is_whole and low <= value <= high, where, f"is not a whole number from {low} to {high}")

    return check


def number(low: float, high: float) -> Rule:
    """A finite number in a range, both ends included."""

    def check(value: Any, where: str) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        require(is_number and low <= value <= high, where, f"is not a number from {low:g} to {high:g}")

    return check


def listing(rule: Rule, longest: int, shortest: int = 0) -> Rule:
    """A list whose entries keep a rule."""

    def check(value: Any, where: str) -> None:
        is_list = isinstance(value, list | tuple) and shortest <= len(value) <= longest
        require(is_list, where, f"is not a list of {shortest} to {longest}")
        for index, item in enumerate(value):
            rule(item, f"{where}[{index}]")

    return check


def mapping(rule: Rule, most: int = MAX_ITEMS) -> Rule:
    """An object of any names whose values keep a rule; a name is a line of text."""
    name = text(200)

    def check(value: Any, where: str) -> None:
        require(isinstance(value, dict) and len(value) <= most, where, f"is not an object of at most {most} entries")
        for key, item in value.items():
            name(key, f"a name in {where}")
            rule(item, f"{where}.{key}")

    return check


def record(needed: Mapping[str, Rule], optional: Mapping[str, Rule] | None = None, other: Rule | None = None) -> Rule:
    """An object with these entries; other: the rule of entries that are not named, which are refused without it."""
    known = {**needed, **(optional or {})}

    def check(value: Any, where: str) -> None:
        require(isinstance(value, dict), where, "is not an object")
        missing = needed.keys() - value.keys()
        require(not missing, where, f"lacks {', '.join(sorted(missing))}")
        rest = {key: item for key, item in value.items() if key not in known}
        for key in value.keys() & known.keys():
            known[key](value[key], f"{where}.{key}" if where else key)
        require(not rest or other is not None, where, "has entries that are not known")
        if other is not None:
            mapping(other)(rest, where)

    return check


def plain(value: Any, where: str, depth: int = MAX_DEPTH) -> None:
    """Any JSON of little depth: finite numbers, texts without control characters."""
    require(depth > 0, where, "is nested too deeply")
    if isinstance(value, str):
        text(lines=True)(value, where)
    elif isinstance(value, dict):
        mapping(lambda item, place: plain(item, place, depth - 1))(value, where)
    elif isinstance(value, list | tuple):
        listing(lambda item, place: plain(item, place, depth - 1), MAX_ITEMS)(value, where)
    elif isinstance(value, float):
        require(math.isfinite(value), where, "is not finite")
    elif isinstance(value, int):
        require(abs(value) < 1 << 63, where, "is a number without end")
    else:
        require(value is None, where, "is no JSON")
