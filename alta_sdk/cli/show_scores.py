"""How `alta score` shows its results: one JSON object, or tables."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from ..matching.results import ZeroShotResult
from ..study.naming import Failure, StudyName
from ..study.slots import Slot
from .terminal import print_line, print_object, print_table, say, title_run

MANY = 10  # studies from which progress is shown, and each has a row of the table, not a column


@dataclass(frozen=True)
class Scored:
    """What is kept of a study: its pixels are not, so that memory does not grow with the list."""

    name: StudyName
    result: ZeroShotResult
    explanation: dict[str, Any]
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Failed:
    """A study that has no scores, and why."""

    name: StudyName
    error: Failure


def name_modes(results: Iterable[ZeroShotResult]) -> str:
    """Return the fusion modes that were used: two where some studies have a prior that is read and some have none."""
    return ", ".join(dict.fromkeys(result.provenance["fusion_mode"] for result in results))


def print_json(results: Sequence[Scored | Failed], explain: bool) -> None:
    """Print one JSON object; each study by number and key, with its explanation if that is asked for, or its error."""
    objects = [
        one.name.as_dict()
        | (
            {"error": one.error.as_dict()}
            if isinstance(one, Failed)
            else one.result.as_dict() | ({"explanation": one.explanation} if explain else {})
        )
        for one in results
    ]
    print_object(objects[0] if len(objects) == 1 else {"studies": objects})


def show_scores(results: Sequence[Scored | Failed], explain: bool) -> None:
    """Print one row per label and one column per study, of many studies one row per study; then what decided."""
    scored = {number: one for number, one in enumerate(results, start=1) if isinstance(one, Scored)}
    if not scored:
        return
    first = next(iter(scored.values())).result
    names, origin = list(first.scores), first.provenance
    title = title_run({**origin, "fusion_mode": name_modes([one.result for one in scored.values()])})
    cells = {number: [_show(one.result, name) for name in names] for number, one in scored.items()}
    told = {number: one.result.provenance["reading"] for number, one in scored.items()}
    marks = {number: f"{number} !" if notes else str(number) for number, notes in told.items()}
    if len(scored) < MANY:
        rows = [[name, *row] for name, row in zip(names, zip(*cells.values(), strict=True), strict=True)]
        print_table(title, ["label", *(f"study {mark}" for mark in marks.values())], rows)
    else:
        print_table(title, ["study", *names], [[marks[number], *row] for number, row in cells.items()])
    for number, notes in told.items():
        for note in notes:
            print_line(f"! study {number}, {note}")
    if first.decisions:
        click.echo("↑ at or above this site's threshold, ↓ below it (alta calibrate)")
    if explain:
        show_explanations({number: one.explanation for number, one in scored.items()})


def _show(result: ZeroShotResult, name: str) -> str:
    decision = result.decisions.get(name)
    return f"{result.scores[name]:.3f}" + ("" if decision is None else " ↑" if decision.is_above else " ↓")


def show_explanations(explanations: dict[int, dict[str, Any]]) -> None:
    """Print a row for each slot that is filled, and one for each kind of thing that was set aside."""
    slots, aside = [], []
    for number, explanation in explanations.items():
        for slot, choice in explanation["slots"].items():
            source = choice["source"] + "".join(f", against {name}" for name in choice["contradicted_by"])
            slots.append([number, slot, source, choice["confidence"], choice["chosen"], choice["turned"] or "-"])
        aside += [[number, item["part"], item["what"], item["why"], item["count"]] for item in explanation["set_aside"]]
    print_table("What decided", ["study", "slot", "view told by", "confidence", "chosen", "turned"], slots)
    if aside:
        print_table("Set aside", ["study", "part", "what", "why", "count"], aside)


def fail_if_any_failed(results: Sequence[Scored | Failed]) -> None:
    """Say on standard error which studies have no scores, and exit with 1 then."""
    failed = {number: one.error for number, one in enumerate(results, start=1) if isinstance(one, Failed)}
    for number, error in failed.items():
        say(f"study {number} of {len(results)}: {error}")
    if failed:
        say(f"StudyError: {len(failed)} of {len(results)} studies could not be scored")
        sys.exit(1)
