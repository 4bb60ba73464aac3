"""The code of a label in a report: SNOMED CT's where the table beside this file knows it, else one of our own.

Never looked up by a keyword: pydicom's `codes.SCT.Cardiomegaly` is another concept than the finding.
"""

import hashlib
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PRIVATE_SCHEME = "99ALTA"
SNOMED_CT = "SCT"
MAX_MEANING = 64  # bytes of CodeMeaning, a Long String: the standard counts characters, many receivers bytes
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


@dataclass(frozen=True)
class FindingCode:
    """A coded concept (PS3.3 section 8): value, the scheme that it is of, and what people read."""

    value: str
    scheme: str
    meaning: str


def find_code(label: str) -> FindingCode:
    """Return the code of a label; one that the table does not know has the same private code everywhere."""
    return _read_table().get(_to_key(label)) or make_private_code(label)


def make_private_code(label: str) -> FindingCode:
    """Return a code of scheme 99ALTA, of the label's hash: 14 characters, within CodeValue's 16."""
    digest = hashlib.sha256(label.strip().encode("utf-8", "surrogatepass")).hexdigest()
    meaning = to_one_line(label).replace("\\", "/") or "label"
    if len(meaning.encode("utf-8")) > MAX_MEANING:
        meaning = meaning.encode("utf-8")[: MAX_MEANING - 3].decode("utf-8", "ignore") + "..."
    return FindingCode(f"L-{digest[:12]}", PRIVATE_SCHEME, meaning)


def to_one_line(text: str) -> str:
    """Return a text as it may stand in a report: no control characters, nothing that is no Unicode."""
    return _BREAKS.sub(" ", text).encode("utf-8", "replace").decode("utf-8").strip()


@cache
def _read_table() -> dict[str, FindingCode]:
    table = tomllib.loads(Path(__file__).with_name("finding_codes.toml").read_text(encoding="utf-8"))
    return {
        _to_key(name): FindingCode(row["code"], SNOMED_CT, row["meaning"])
        for row in table["finding"]
        for name in row["names"]
    }


def _to_key(label: str) -> str:
    return " ".join(re.sub(r"[_-]", " ", label).casefold().split())
