"""What a key of the configuration may hold: each reader takes a value as TOML gives it and returns it as it is used.

A reader raises `Unfit` with what was wrong and what to write. No value is quoted: it may be a secret.
"""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_AE_TITLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,14}[\x21-\x7e])?")
_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,255}")
_URL = re.compile(r"https?://[^\s/@?#]+(?:/[^\s?#]*)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Unfit(Exception):
    """A value that a key cannot have; the text says what it may be."""


@dataclass(frozen=True)
class Scope:
    """What readers know beside the value. folder: that of the file, from which paths are told.

    must_exist: refuse paths at which there is nothing.
    """

    folder: Path
    must_exist: bool = True


Reader = Callable[[Any, Scope], Any]


def read_flag(value: Any, _: Scope) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise Unfit("write true or false")
    return value


def read_text(value: Any, _: Scope) -> str:
    """Read a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise Unfit('write a text in quotes: "…"')
    return value


def read_name(value: Any, _: Scope) -> str:
    """Read a name of our own: it is shown and logged."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise Unfit("write a name of at most 64 letters, digits, '-', '_' and '.', in quotes")
    return value


def read_ae_title(value: Any, _: Scope) -> str:
    """Read an application entity title (PS3.5 table 6.2-1)."""
    if not isinstance(value, str) or not _AE_TITLE.fullmatch(value) or "\\" in value:
        raise Unfit("write 1 to 16 characters of ASCII without a backslash, in quotes")
    return value


def read_callers(value: Any, scope: Scope) -> tuple[str, ...]:
    """Read AE titles, or "*" alone for everybody."""
    if not isinstance(value, list):
        raise Unfit('write a list of AE titles, ["*"] for everybody, [] for nobody')
    titles = tuple(read_ae_title(one, scope) for one in value)
    if "*" in titles and len(titles) > 1:
        raise Unfit('write "*" alone, or AE titles alone')
    return titles


def read_host(value: Any, _: Scope) -> str:
    """Read a host's name or address."""
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise Unfit("write a host's name or its address, in quotes")
    return value


def read_url(value: Any, _: Scope) -> str:
    """Read the address of a DICOMweb server, without a user or a query in it."""
    if not isinstance(value, str) or not _URL.fullmatch(value):
        raise Unfit("write http://… or https://… without a user; name and password go into a file: credentials")
    return value.rstrip("/")


def read_labels(value: Any, scope: Scope) -> str | tuple[str, ...]:
    """Read the name of a label set, or a list of findings."""
    if isinstance(value, list) and value:
        return tuple(read_text(one, scope) for one in value)
    if isinstance(value, list):
        raise Unfit("name at least one finding, or a label set of the engine")
    return read_text(value, scope)


def read_folder(value: Any, scope: Scope) -> Path:
    """Read the path of a folder that may not be there yet."""
    return scope.folder / read_text(value, scope)


def read_path(value: Any, scope: Scope) -> Path:
    """Read a path at which there is a file or a folder: a pipe would be waited for."""
    path = scope.folder / read_text(value, scope)
    if scope.must_exist and not (os.path.isfile(path) or os.path.isdir(path)):
        raise Unfit("nothing is there, or it may not be read: check the path, told from the folder of this file")
    return path


def whole(least: int, most: int) -> Reader:
    """Return a reader of whole numbers."""

    def read(value: Any, _: Scope) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Unfit(f"write a whole number from {least} to {most}")
        return value

    return read


def number(least: float, most: float) -> Reader:
    """Return a reader of numbers."""

    def read(value: Any, _: Scope) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or not least <= value <= most:
            raise Unfit(f"write a number from {least:g} to {most:g}")
        return float(value)

    return read


def one_of(*known: str) -> Reader:
    """Return a reader of one of some words."""

    def read(value: Any, _: Scope) -> str:
        if value not in known:
            raise Unfit(f"write one of: {', '.join(known)}")
        return str(value)

    return read
