"""Pair radiographs with reports of other people by finding, for data sets that have one or the other.

Such pairs teach what a finding looks like and how it is written of, not one patient's own report; a
result of them must say so. Priors are the same patient's earlier radiographs.
"""

import random
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alta_sdk.errors import TrainingError
from alta_sdk.files.opening import read_text

from .labelled import AGAINST as NORMAL
from .labelled import spell_finding, split_findings
from .sentences import Wordings, describe_labels
from .tables import read_rows

RULES = Path(__file__).with_name("pairing_rules.toml")
BY_RULE = "by-rule"
MIN_WORDS = 3
CASE_MISSES_WEIGH = 2  # a finding that the report lacks weighs more than one that it has besides


@dataclass(frozen=True)
class FoundRadiograph:
    """A radiograph with its findings; order sorts the radiographs of one patient in time."""

    image: str
    patient: str
    order: tuple[float, str]
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """A report's words and its lower-case mesh terms."""

    uid: str
    text: str
    mesh: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """A radiograph, the report that stands for its own, and the patient's previous radiograph."""

    radiograph: FoundRadiograph
    report: Report
    prior: FoundRadiograph | None


def read_rules(path: Path = RULES) -> dict[str, tuple[str, ...]]:
    """Read which mesh words fit which finding; raise TrainingError for a file of another form."""
    try:
        content = tomllib.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise TrainingError(f"rules {path.name} cannot be read: give a TOML file") from error
    unknown = sorted(set(content) - {"version", "findings"})
    if unknown or not isinstance(content.get("findings"), dict):
        raise TrainingError(f"rules {path.name}: unknown keys {', '.join(unknown)}; it has version and [findings]")
    return {finding: tuple(word.lower() for word in words) for finding, words in content["findings"].items()}


def read_radiographs(path: Path, split: str | None = None) -> list[FoundRadiograph]:
    """Read a metadata table: image, patient, findings, and follow_up or date; split selects rows."""
    needed = ("image", "patient", "findings", *(("split",) if split else ()))
    rows = [row for row in read_rows(path, needed) if split is None or row["split"] == split]
    return [
        FoundRadiograph(
            row["image"],
            row["patient"],
            _time_order(row.get("follow_up") or row.get("date") or ""),
            tuple(split_findings(row["findings"])),
        )
        for row in rows
    ]


def read_reports(path: Path) -> list[Report]:
    """Read a table of reports: uid, findings, impression, mesh; those of under three words are dropped."""
    reports = []
    for row in read_rows(path, ("uid", "findings", "impression", "mesh")):
        text = re.sub(r"\bX{2,}\b", " ", f"{row['findings']} {row['impression']}")  # removed names and dates
        text = " ".join(text.split())
        if len(text.split()) >= MIN_WORDS:
            mesh = tuple(term.strip().lower() for term in row["mesh"].split("|") if term.strip())
            reports.append(Report(row["uid"], text, mesh))
    return reports


def find_report_findings(report: Report, rules: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return the findings whose rules a report's mesh terms fit."""
    return frozenset(finding for finding, words in rules.items() if any(_fits(report, word) for word in words))


def pair_radiographs(
    radiographs: Sequence[FoundRadiograph],
    reports: Sequence[Report],
    rules: Mapping[str, Sequence[str]],
    *,
    per_radiograph: int = 1,
    seed: int = 0,
    link_priors: bool = True,
) -> list[Pair]:
    """Give each radiograph reports that fit its findings best, spreading the use of reports.

    Of several equally fitting ones the least used is taken, ties by a seeded draw. Radiographs that no
    report fits are left out. Raises TrainingError if no pair comes out.
    """
    by_finding: dict[str, list[tuple[Report, frozenset[str]]]] = defaultdict(list)
    for report in reports:
        found = find_report_findings(report, rules)
        for finding in found:
            by_finding[finding].append((report, found))
    generator = random.Random(seed)
    used: Counter[str] = Counter()
    priors = link_previous(radiographs) if link_priors else {}
    pairs = []
    for radiograph in radiographs:
        wanted = frozenset(radiograph.findings) & set(rules)
        # Sorted, since the order of a set of strings, and with it the draw, differs from process to process.
        candidates = {
            report.uid: (report, found) for finding in sorted(wanted) for report, found in by_finding[finding]
        }
        ranked = sorted(
            candidates.values(),
            key=lambda item: (_distance(wanted, item[1]), used[item[0].uid], generator.random()),
        )
        for report, _ in ranked[:per_radiograph]:
            used[report.uid] += 1
            pairs.append(Pair(radiograph, report, priors.get(radiograph.image)))
    if not pairs:
        raise TrainingError("no radiograph could be paired with a report: look at the findings and the rules")
    return pairs


def describe_radiographs(
    radiographs: Sequence[FoundRadiograph],
    wordings: Wordings,
    *,
    per_radiograph: int = 1,
    seed: int = 0,
    link_priors: bool = True,
) -> list[Pair]:
    """Give each radiograph texts of sentences made by rule from its labels, each time in words drawn anew.

    The words depend on the seed and the image's name alone. Radiographs with none of the wordings' findings
    are left out. Raises TrainingError if no radiograph is left.
    """
    priors = link_previous(radiographs) if link_priors else {}
    pairs = []
    for radiograph in radiographs:
        for number in range(per_radiograph):
            draw = random.Random(f"{seed}|{radiograph.image}|{number}")
            sentences = describe_labels(radiograph.findings, wordings, draw)
            if sentences:
                text = Report(f"{BY_RULE}-{number}", " ".join(sentences), ())
                pairs.append(Pair(radiograph, text, priors.get(radiograph.image)))
    if not pairs:
        raise TrainingError("no radiograph has a finding that the wordings know: look at the findings and the wordings")
    return pairs


def link_previous(radiographs: Sequence[FoundRadiograph]) -> dict[str, FoundRadiograph]:
    """Return the previous radiograph of the same patient by image name, by follow-up number or date."""
    by_patient: dict[str, list[FoundRadiograph]] = defaultdict(list)
    for radiograph in radiographs:
        by_patient[radiograph.patient].append(radiograph)
    linked = {}
    for own in by_patient.values():
        ordered = sorted(own, key=lambda radiograph: radiograph.order)
        for earlier, later in zip(ordered, ordered[1:], strict=False):
            if earlier.order < later.order:  # same time: neither is the other's prior
                linked[later.image] = earlier
    return linked


def describe_findings(radiograph: FoundRadiograph, rules: Mapping[str, Sequence[str]]) -> str:
    """Write a radiograph's own labels as sentences: "There is edema. …", or "There is no …" of each finding.

    These sentences are made by rule, not by a radiologist.
    """
    if NORMAL in radiograph.findings:
        absent = [name for name in rules if name != NORMAL]
        return " ".join(f"There is no {spell_finding(name)}." for name in absent)
    return " ".join(f"There is {spell_finding(name)}." for name in radiograph.findings)


def _distance(wanted: frozenset[str], found: frozenset[str]) -> int:
    return CASE_MISSES_WEIGH * len(wanted - found) + len(found - wanted)


def _fits(report: Report, word: str) -> bool:
    if word.startswith("="):
        return report.mesh == (word[1:],)
    return any(word in (term if "/" in word else term.partition("/")[0]) for term in report.mesh)


def _time_order(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return 0.0, text  # a date: ISO dates sort as text
