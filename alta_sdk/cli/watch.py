"""`alta watch`: later studies and a site's reference in, whether scores or pictures have moved out; no truth."""

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from ..errors import CalibrationError
from ..study.lists import list_studies
from ..validation.drift import (
    MIN_STUDIES,
    Movement,
    Reference,
    check_same_engine,
    check_same_scores,
    collect_distributions,
    measure_movements,
    name_labels,
    read_reference,
)
from ..validation.result import INTENDED, SCHEMA_VERSION, to_plain
from ..validation.scored import EmbeddedStudy, UnreadStudy, ask, embed_each, score_all
from .option_groups import json_option
from .reading import Reading, reading_options, say_notices
from .site_key import key_file_option, make_namer
from .study_arguments import check_identifiers, expand_studies, with_identifiers_option
from .terminal import fail_in_one_line, print_object, print_table, say, show_progress, title_run

VERDICTS = {True: "moved", False: "as before", None: "too few"}


@click.command()
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True, type=click.Path())
@click.option("--reference", required=True, type=click.Path(), help="What alta validate --reference wrote.")
@click.option("--fail-if-moved", is_flag=True, help="Exit with 1 if something has moved, for a timer to tell.")
@with_identifiers_option
@key_file_option
@json_option()
@reading_options
@fail_in_one_line
def watch(
    studies: tuple[str, ...],
    reference: str,
    fail_if_moved: bool,
    with_identifiers: bool,
    key_file: str | None,
    as_json: bool,
    reading: Reading,
) -> None:
    """Tell whether the scores or the pictures of STUDY... have moved away from a site's reference.

    A STUDY is as for alta score, - and @FILE, too: give the folder of a month. No truth is needed: what has moved may
    harm the scores, and what has not may, too, so it takes the place of no validation. Not for clinical use.
    """
    check_identifiers(with_identifiers, as_json)
    studies, _ = expand_studies(studies)
    known = read_reference(Path(reference))
    with reading.open_matcher() as matcher:
        check_same_engine(known, matcher.engine.manifest.sha256)
        question = ask(matcher, name_labels(known))
        say_notices(matcher, question.notes)
        entries = list_studies(*studies, goes_on=True)
        is_named = as_json or matcher.audit is not None
        namer = make_namer(key_file, is_needed=is_named, with_identifiers=with_identifiers)
        with closing(embed_each(entries, [matcher], reading.read, namer)) as outcomes:
            found = list(show_progress(outcomes, len(entries), "studies"))
        read = [one for one in found if isinstance(one, EmbeddedStudy)]
        for one in () if read else found:
            if isinstance(one, UnreadStudy):
                raise CalibrationError(f"no study can be read; study {one.name.number}: {one.error}")
        scored = score_all(question, [one.vectors[0] for one in read])
        check_same_scores(known, matcher.engine.manifest.sha256, scored)
        movements = measure_movements(known, collect_distributions(scored, read))
        provenance = {**question.provenance, "fusion_mode": scored.mode}
    unread = [one for one in found if isinstance(one, UnreadStudy)]
    told = describe(known, movements, read, unread, provenance)
    if as_json:
        print_object(told)
    else:
        show_movements(known, movements, told)
    for one in unread:
        say(f"study {one.name.number} of {len(found)}: {one.error}")
    if unread:
        say(f"{len(unread)} of {len(found)} studies could not be read")
    if fail_if_moved and told["has_moved"]:
        say("CalibrationError: scores or pictures have moved: look at the studies, and validate again (alta validate)")
        sys.exit(1)
    if unread:  # as every command ends that has read a part
        sys.exit(1)


def describe(
    known: Reference,
    movements: list[Movement],
    read: list[EmbeddedStudy],
    unread: list[UnreadStudy],
    provenance: dict[str, object],
) -> dict[str, Any]:
    """Return what is told, in plain types."""
    return {
        "schema_version": SCHEMA_VERSION,
        "intended_use": INTENDED,
        "reference": {"created": known.created, "studies": known.studies},
        "studies": len(read),
        "unread": to_plain(unread),
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
