"""`alta watch`: later studies and a site's reference in, whether scores or pictures have moved out; no truth."""

import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from ..errors import CalibrationError, StudyError
from ..matching.matcher import Matcher
from ..matching.stream import stream_studies
from ..study.lists import StudyEntry, list_studies
from ..validation.drift import (
    MIN_STUDIES,
    Movement,
    Reference,
    check_same_scores,
    collect_distributions,
    measure_movements,
    name_labels,
    read_reference,
)
from ..validation.pictures import measure_picture
from ..validation.result import INTENDED, SCHEMA_VERSION, to_plain
from ..validation.scored import EmbeddedStudy, ask, score_all
from .option_groups import json_option
from .reading import Reading, reading_options, say_notices
from .terminal import fail_in_one_line, print_object, print_table, say, show_progress, title_run

VERDICTS = {True: "moved", False: "as before", None: "too few"}


@click.command()
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True, type=click.Path())
@click.option("--reference", required=True, type=click.Path(), help="What alta validate --reference wrote.")
@click.option("--fail-if-moved", is_flag=True, help="Exit with 1 if something has moved, for a timer to tell.")
@json_option()
@reading_options
@fail_in_one_line
def watch(studies: tuple[str, ...], reference: str, fail_if_moved: bool, as_json: bool, reading: Reading) -> None:
    """Tell whether the scores or the pictures of STUDY... have moved away from a site's reference.

    A STUDY is as for alta score: give the folder of a month. No truth is needed: what has moved may harm the scores,
    and what has not may, too, so it takes the place of no validation. Not for clinical use.
    """
    known = read_reference(Path(reference))
    with reading.open_matcher() as matcher:
        question = ask(matcher, name_labels(known))
        say_notices(matcher, question.notes)
        entries = list_studies(*studies)
        with closing(embed_entries(entries, matcher, reading)) as outcomes:
            found = list(show_progress(outcomes, len(entries), "studies"))
        read = [one for one in found if isinstance(one, EmbeddedStudy)]
        if not read:
            raise CalibrationError("no study can be read: check the paths")
        scored = score_all(question, [one.vectors[0] for one in read])
        check_same_scores(known, matcher.engine.manifest.sha256, scored)
        movements = measure_movements(known, collect_distributions(scored, read))
        provenance = {**matcher.provenance, "fusion_mode": scored.mode}
    told = describe(known, movements, read, len(found) - len(read), provenance)
    if as_json:
        print_object(told)
    else:
        show_movements(known, movements, told)
    if told["unread"]:
        say(f"{told['unread']} of {len(found)} studies could not be read: alta score tells why")
    if fail_if_moved and told["has_moved"]:
        say("CalibrationError: scores or pictures have moved: look at the studies, and validate again (alta validate)")
        sys.exit(1)


def embed_entries(
    entries: list[StudyEntry], matcher: Matcher, reading: Reading
) -> Generator[EmbeddedStudy | None, None, None]:
    """Embed each study; None for one that cannot be read. Threads read the next ones meanwhile."""
    with closing(stream_studies(entries, lambda entry: reading.read(entry.read(), matcher), (matcher,))) as studies:
        for number, study in enumerate(studies, start=1):
            if isinstance(study, StudyError):
                yield None
            else:
                notes = study.read_notes(study.slots)
                yield EmbeddedStudy(number, "", [matcher.embed(study)], notes, measure_picture(study))


def describe(
    known: Reference, movements: list[Movement], read: list[EmbeddedStudy], unread: int, provenance: dict[str, object]
) -> dict[str, Any]:
    """Return what is told, in plain types."""
    return {
        "schema_version": SCHEMA_VERSION,
        "intended_use": INTENDED,
        "reference": {"created": known.created, "studies": known.studies},
        "studies": len(read),
        "unread": unread,
        "noticed": sum(bool(one.notices) for one in read),
        "has_moved": any(one.has_moved for one in movements),
        "movements": to_plain(movements),
        "provenance": provenance,
    }


def show_movements(known: Reference, movements: list[Movement], told: dict[str, Any]) -> None:
    """Print a row for each distribution: medians, stability index, test, and what follows."""
    title = f"{title_run(told['provenance'])} · {told['studies']} studies against {known.studies} of {known.created}"
    columns = ["distribution", "median then", "now", "stability index", "by chance", "KS distance", "p", ""]
    rows = [
        (
            one.name,
            f"{one.reference_median:.4g}",
            f"{one.median:.4g}",
            f"{one.shift.stability_index:.3f}",
            f"{one.shift.by_chance:.3f}",
            f"{one.shift.distance:.3f}",
            f"{one.p_value:.3f}",
            VERDICTS[one.has_moved],
        )
        for one in movements
    ]
    print_table(title, columns, rows)
    say("p: Kolmogorov-Smirnov, corrected for the number of rows (Holm); moved: p under 0.01 and an index of 0.1 or")
    say("more beyond chance. No truth is looked at: this takes the place of no validation.")
    if told["studies"] < MIN_STUDIES:
        say(f"{told['studies']} studies are too few to tell a movement: {MIN_STUDIES} at least")
    if told["noticed"]:
        say(f"{told['noticed']} of {told['studies']} studies were read with a notice: alta score tells which")
