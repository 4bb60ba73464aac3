"""Which engine scores a study, by the rules of the configuration; and what a refused study was found to hold.

The first rule that fits decides. Nothing of a header goes further than the comparison.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..dicom.parsing import parse_dicom
from ..errors import StudyError
from ..study.examination import Examination, ReadOptions, read_examinations
from .settings import EngineChoice, Rule, Settings

NO_RULE = "no rule of the configuration takes it: write a [[rules]] for it"


@dataclass(frozen=True)
class Description:
    """What rules look at: of all images of a study."""

    sender: str
    modalities: frozenset[str] = frozenset()
    texts: frozenset[str] = field(default=frozenset(), repr=False)


def describe_study(sender: str, files: Iterable[Path]) -> Description:
    """Read what the rules look at; a file that cannot be read says nothing here, and is refused when it is scored."""
    modalities, texts = set(), set()
    for path in files:
        try:
            with open(path, "rb") as file:
                header = parse_dicom(file)
        except (StudyError, OSError):
            continue
        modalities.add(str(header.get("Modality") or ""))
        texts |= {str(header.get(name) or "").casefold() for name in ("StudyDescription", "SeriesDescription")}
    return Description(sender, frozenset(modalities), frozenset(texts))


def choose_engine(settings: Settings, files: Sequence[Path], sender: str) -> EngineChoice:
    """Return the engine that the first fitting rule names, or the only one; raise StudyError if none fits."""
    by_name = {one.name: one for one in settings.engines}
    if not settings.rules:
        return settings.engines[0]
    described = describe_study(sender, files)
    for rule in settings.rules:
        if fits(rule, described):
            return by_name[rule.engine]
    raise StudyError(NO_RULE)


def fits(rule: Rule, study: Description) -> bool:
    """True if everything that a rule says holds of a study; its description may hold * and ?, in any case."""
    if rule.calling_ae_title not in (None, study.sender):
        return False
    if rule.modality is not None and rule.modality not in study.modalities:
        return False
    pattern = rule.description
    return pattern is None or any(fnmatchcase(text, pattern.casefold()) for text in study.texts)


def explain_refusal(files: Sequence[Path], options: ReadOptions) -> dict[str, Any]:
    """Say what a study that cannot be scored holds, in the form of `Study.explain`: no slot is filled.

    Plain types, without an identifier or a header's free text.
    """
    try:
        found, aside = read_examinations(list(files), options)
    except StudyError as error:
        return {"slots": {}, "set_aside": [_tell("current", "study", str(error), 1)]}
    told = [_tell(item.part, item.what, item.why, 1) for item in aside]
    return {"slots": {}, "set_aside": [*(line for one in found for line in _tell_views(one)), *told]}


def _tell_views(examination: Examination) -> Iterable[dict[str, Any]]:
    for image in examination.images:
        finding = image.finding
        why = image.lie.refusal or f"view told by {finding.source or 'nothing'}"
        yield _tell("current", str(finding.view), why, 1)


def _tell(part: str, what: str, why: str, count: int) -> dict[str, Any]:
    return {"part": part, "what": what, "why": why, "count": count}
