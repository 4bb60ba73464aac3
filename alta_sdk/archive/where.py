"""The filter of a search: what a person writes is read against the columns and written anew, never passed on.

    filter      = all { "or" all }        all = one { "and" one }
    one         = "not" one | "(" filter ")" | COLUMN comparison
    comparison  = ("=" | "!=" | "<" | "<=" | ">" | ">=") VALUE | "in" "(" VALUE {"," VALUE} ")"
                | "between" VALUE "and" VALUE | "is" ["not"] "null"

Values are numbers, texts in single quotes (a quote inside is doubled), and days as texts. There are no functions, no
arithmetic and no other columns than those of the archive.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from ..errors import EngineError
from .schema import HIDDEN

MAX_LENGTH = 10_000
MAX_DEPTH = 50
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<word>[A-Za-z_]\w*)|(?P<mark><=|>=|!=|<>|[=<>(),]))"
)
_COMPARISONS = ("=", "!=", "<>", "<", "<=", ">", ">=")


@dataclass(frozen=True)
class Where:
    """A filter that was read. sql: as Lance takes it, made of known columns and checked values alone."""

    sql: str


def parse_where(text: str, schema: Any) -> Where:
    """Read a filter against the columns of an archive (an Arrow schema); raise EngineError if it is none."""
    if len(text) > MAX_LENGTH:
        raise EngineError(f"filter of --where is longer than {MAX_LENGTH} characters: make it shorter")
    return Where(_Parser(_split(text), schema).parse())


def _refuse(why: str) -> EngineError:
    return EngineError(f"filter of --where {why}; write one such as age >= 60 and view = 'PA'")


def _split(text: str) -> list[tuple[str, str]]:
    """Return kind and text of each token."""
    tokens, place = [], 0
    text = text.rstrip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise _refuse(f"cannot be read at character {place + 1}")
        kind = str(found.lastgroup)
        tokens.append((kind, found[kind]))
        place = found.end()
    if not tokens:
        raise _refuse("is empty")
    return tokens


class _Parser:
    """Recursive descent over tokens; what it returns is SQL of its own making."""

    def __init__(self, tokens: list[tuple[str, str]], schema: Any) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0
        self._fields = {field.name: field.type for field in schema if field.name not in HIDDEN}

    def parse(self) -> str:
        sql = self._join("or", lambda: self._join("and", self._read_one))
        if self._place < len(self._tokens):
            raise _refuse(f"has something behind its end, at word {self._place + 1}")
        return sql

    def _join(self, word: str, read: Callable[[], str]) -> str:
        parts = [read()]
        while self._take(word):
            parts.append(read())
        return parts[0] if len(parts) == 1 else "(" + f" {word} ".join(parts) + ")"

    def _read_one(self) -> str:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _refuse("is nested too deeply")
        try:
            if self._take("not"):
                return f"(not {self._read_one()})"
            if self._take("("):
                inner = self._join("or", lambda: self._join("and", self._read_one))
                self._require(")")
                return f"({inner})"
            return self._read_comparison()
        finally:
            self._depth -= 1

    def _read_comparison(self) -> str:
        kind, name = self._next("a column")
        if kind != "word" or name not in self._fields:
            raise _refuse(f"names no column at word {self._place}: the columns are {', '.join(sorted(self._fields))}")
        kind, word = self._next(f"a comparison behind {name}")
        if word in _COMPARISONS:
            return f"{name} {word} {self._read_value(name)}"
        if word.lower() == "in":
            self._require("(")
            values = [self._read_value(name)]
            while self._take(","):
                values.append(self._read_value(name))
            self._require(")")
            return f"{name} in ({', '.join(values)})"
        if word.lower() == "between":
            low = self._read_value(name)
            self._require("and")
            return f"({name} >= {low} and {name} <= {self._read_value(name)})"
        if word.lower() == "is":
            negated = "not " if self._take("not") else ""
            self._require("null")
            return f"{name} is {negated}null"
        raise _refuse(f"has no comparison behind {name}")

    def _read_value(self, name: str) -> str:
        kind, value = self._next(f"a value for {name}")
        column = str(self._fields[name])
        if column == "string" and kind == "text":
            return value
        if column.startswith(("int", "float", "double")) and kind == "number":
            return value
        if column.startswith("date") and kind == "text":
            return f"date {_check_day(value)}"
        if column.startswith("fixed_size_binary") and kind == "text" and re.fullmatch("'[0-9a-f]{32}'", value):
            return f"X{value}"
        raise _refuse(f"compares {name} with what it cannot be: it is of type {_name_type(column)}")

    def _take(self, wanted: str) -> bool:
        if self._place < len(self._tokens):
            kind, text = self._tokens[self._place]
            if kind in ("word", "mark") and text.lower() == wanted:
                self._place += 1
                return True
        return False

    def _require(self, wanted: str) -> None:
        if not self._take(wanted):
            raise _refuse(f'lacks "{wanted}" at word {self._place + 1}')

    def _next(self, what: str) -> tuple[str, str]:
        if self._place == len(self._tokens):
            raise _refuse(f"ends where {what} is expected")
        self._place += 1
        return self._tokens[self._place - 1]


def _check_day(text: str) -> str:
    try:
        return f"'{date.fromisoformat(text[1:-1]).isoformat()}'"
    except ValueError as error:
        raise _refuse("has a day that is none: write '2024-05-31'") from error


def _name_type(column: str) -> str:
    if column.startswith("fixed_size_binary"):
        return "key, 32 hexadecimal digits in quotes"
    return {"string": "text, in single quotes"}.get(column, "day, in single quotes" if "date" in column else "number")
