"""Sentences made by rule from a radiograph's labels, and what each of them claims.

Wordings are data (`wordings.toml`). Every sentence that they can make is known with its claim, so that a
run can tell which studies a sentence fits without parsing any language.
"""

import random
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from alta_sdk.errors import TrainingError
from alta_sdk.files.opening import read_text

from .labelled import AGAINST as NORMAL

WORDINGS = Path(__file__).with_name("wordings.toml")
SENTENCE_END = re.compile(r"(?<=[.?!])\s+")


@dataclass(frozen=True)
class Claim:
    """What a sentence says: that a finding is there, or that it is not."""

    finding: str
    is_present: bool


@dataclass(frozen=True)
class Wordings:
    """Templates with {} for a finding's name, sentences for no finding at all, and the names of each finding."""

    present: tuple[str, ...]
    absent: tuple[str, ...]
    normal: tuple[str, ...]
    findings: Mapping[str, tuple[str, ...]]

    @property
    def columns(self) -> tuple[str, ...]:
        """The findings in their order, and no finding at all behind them."""
        return (*self.findings, NORMAL)


def read_wordings(path: Path = WORDINGS) -> Wordings:
    """Read wordings; raise TrainingError for a file of another form, or a sentence that would say two things."""
    try:
        content = tomllib.loads(read_text(path))
        lists = {name: _to_texts(content[name]) for name in ("present", "absent", "normal")}
        findings = {name: _to_texts(words) for name, words in content["findings"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrainingError(
            f"wordings {path.name} cannot be read: give a TOML file with present, absent, normal and [findings]"
        ) from error
    if not all(lists.values()) or not findings or not all(findings.values()):
        raise TrainingError(f"wordings {path.name}: every list needs a wording, and there must be a finding")
    if NORMAL in findings:
        raise TrainingError(f"wordings {path.name}: {NORMAL} is no finding, what is said of it is in normal")
    misfit = [text for text in (*lists["present"], *lists["absent"]) if re.findall(r"[{}]+", text) != ["{}"]]
    if misfit:
        raise TrainingError(f'wordings {path.name}: "{misfit[0]}" must have {{}} once, for the name of a finding')
    wordings = Wordings(lists["present"], lists["absent"], lists["normal"], findings)
    list_claims(wordings)
    return wordings


def list_claims(wordings: Wordings) -> dict[str, Claim]:
    """Return every sentence that can be made, in lower case, with what it claims.

    Raises TrainingError if a sentence would claim two things, or is not one sentence in a report.
    """
    made = [(sentence, Claim(NORMAL, True)) for sentence in wordings.normal]
    for finding, names in wordings.findings.items():
        for is_present, templates in ((True, wordings.present), (False, wordings.absent)):
            made += [(fill(t, name), Claim(finding, is_present)) for t in templates for name in names]
    claims: dict[str, Claim] = {}
    for sentence, claim in made:
        if claims.setdefault(sentence.lower(), claim) != claim:
            raise TrainingError(f'wordings: "{sentence}" would say two things: change a wording or a name')
        if split_sentences(f"{sentence} {sentence}") != [sentence, sentence]:
            raise TrainingError(f'wordings: "{sentence}" is not one sentence: give it one full stop, at its end')
    return claims


def describe_labels(findings: Collection[str], wordings: Wordings, draw: random.Random) -> list[str]:
    """Write a radiograph's labels: one sentence for each finding; without any, that each one is absent.

    Findings are compared without regard to case. draw: picks one wording and one name for each sentence. What
    a data set does not label as found is not called absent beside other findings: labels that were mined from
    reports miss too many.
    """

    def say(templates: tuple[str, ...], finding: str) -> str:
        return fill(draw.choice(templates), draw.choice(wordings.findings[finding]))

    named = {name.lower() for name in findings}
    if NORMAL.lower() in named:
        return [*(say(wordings.absent, name) for name in wordings.findings), draw.choice(wordings.normal)]
    return [say(wordings.present, name) for name in wordings.findings if name.lower() in named]


def list_labels(findings: Collection[str], wordings: Wordings) -> list[bool]:
    """Return which of the wordings' columns a radiograph has, compared without regard to case."""
    named = {name.lower() for name in findings}
    return [name.lower() in named for name in wordings.columns]


def list_statements(sentences: Collection[str], claims: Mapping[str, Claim], wordings: Wordings) -> list[int] | None:
    """Return what sentences claim of each column: 1 there, -1 not there, 0 nothing; None if one is no such sentence."""
    stated = dict.fromkeys(wordings.columns, 0)
    for sentence in sentences:
        claim = claims.get(sentence.lower())
        if claim is None:
            return None
        stated[claim.finding] = 1 if claim.is_present else -1
    return list(stated.values())


def split_sentences(report: str) -> list[str]:
    """Return the sentences of a report, each with its full stop."""
    return SENTENCE_END.split(report.strip())


def fill(template: str, name: str) -> str:
    """Put a name into a template, with a capital at the sentence's start."""
    sentence = template.format(name)
    return sentence[:1].upper() + sentence[1:]


def _to_texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError
    return tuple(value)
