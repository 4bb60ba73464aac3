"""`alta validate`: a table of labelled studies in, how good the engine is on them out; nothing is chosen."""

import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from ..errors import StudyError
from ..matching.matcher import Matcher
from ..matching.questions import Question
from ..report.run import SmallMap
from ..report.validation_page import explain_scores, show_figure, summarise
from ..study.labelled import LabelledStudies, find_label_columns, read_labelled_studies
from ..study.lists import StudyEntry
from ..validation.drift import make_reference
from ..validation.figures import MeasuredPoint, Wishes
from ..validation.result import Validation, hash_table
from ..validation.run import GROUPS, Columns, check_labels, check_table, measure_table
from ..validation.scored import EmbeddedStudy, EngineScores, ask, embed_each
from .label_help import LabelledCommand
from .last_steps import take_every_step
from .option_groups import group_options, json_option
from .reading import Reading, reading_options, say_notices
from .site_key import key_file_option, make_namer
from .terminal import fail_in_one_line, print_object, print_table, say, show_progress, title_run
from .validation_outputs import ValidationOutputs, validation_outputs_option

wishes_option = group_options(
    "wishes",
    Wishes,
    click.option(
        "--width",
        type=click.FloatRange(0.005, 0.5),
        default=0.1,
        show_default=True,
        help="Tell how many studies make intervals this wide.",
    ),
    click.option(
        "--worst",
        type=click.IntRange(0, 50),
        default=5,
        show_default=True,
        help="Cases furthest from the truth, of each kind.",
    ),
    click.option("--platt", is_flag=True, help="Fit probabilities on half of the patients, measure on the others."),
)
columns_option = group_options(
    "columns",
    Columns,
    click.option("--study-column", "study", default="study", show_default=True, help="The path of each study."),
    click.option("--patient-column", "patient", default="patient", show_default=True, help="Whose study it is."),
    click.option(
        "--group",
        "groups",
        multiple=True,
        metavar="COLUMN",
        help=f"A column of subgroups. [default: {', '.join(GROUPS)}]",
    ),
    make=lambda study, patient, groups: Columns(study, patient, tuple(dict.fromkeys(groups)) or GROUPS),
)


@click.command(cls=LabelledCommand)
@click.argument("table", metavar="TABLE.csv", type=click.Path())
@click.option("--label", "names", multiple=True, help="A column of truth. [default: every other column]")
@click.option("--labels", "label_set", help="The label set that the findings are scored in. [default: pairs]")
@click.option(
    "--compare", "other", type=click.Path(), metavar="OTHER.alta", help="A second engine, on the same studies."
)
@key_file_option
@columns_option
@wishes_option
@validation_outputs_option
@json_option()
@reading_options
@fail_in_one_line
def validate(
    table: str,
    names: tuple[str, ...],
    label_set: str | None,
    other: str | None,
    key_file: str | None,
    columns: Columns,
    wishes: Wishes,
    outputs: ValidationOutputs,
    as_json: bool,
    reading: Reading,
) -> None:
    """Measure an engine on this site's own labelled studies: the acceptance test.

    TABLE.csv has a column study (paths, from the table's own folder) and a column of 1, 0 or nothing (not known) for
    each finding; patient, view, sex, age and device are used if they are there. Thresholds beside the engine are
    measured, not chosen. A study that cannot be read is told, and is in no figure (exit code 1). Studies are named by
    their row and a keyed hash. Not for clinical use.
    """
    path = Path(table)
    outputs.check((table, key_file, reading.engine, other), as_json=as_json)
    given = tuple(dict.fromkeys(names)) or find_label_columns(path, columns.study, columns.others)
    labelled = read_labelled_studies(path, columns.study, given, columns.others)
    digest, groups = hash_table(path), check_table(labelled, columns)
    with ExitStack() as stack:
        readings = [reading] if other is None else [reading, replace(reading, engine=other)]
        matchers = [stack.enter_context(one.open_matcher()) for one in readings]
        questions = [ask(matcher, label_set or list(given)) for matcher in matchers]
        for question in questions:
            check_labels(question, given)
        if outputs.locate_worst:
            try_locating(labelled, questions[0], matchers[0], reading)
        say_notices(matchers[0], questions[0].notes)
        namer = make_namer(key_file, is_needed=True, with_identifiers=outputs.with_identifiers)
        entries = [StudyEntry((one,)) for one in labelled.paths]
        found = embed_each(entries, matchers, reading.read, namer)
        outcomes = list(show_progress(found, len(labelled.paths), "studies"))
        provenances = [dict(question.provenance) for question in questions]
        validation, scored, studies = measure_table(
            labelled,
            groups,
            outcomes,
            questions,
            columns=columns,
            wishes=wishes,
            table_sha256=digest,
            provenances=provenances,
        )
        finish(validation, scored, studies, labelled, matchers[0], outputs, reading, as_json, platt=wishes.platt)


def finish(
    validation: Validation,
    scored: EngineScores,
    studies: list[EmbeddedStudy],
    labelled: LabelledStudies,
    matcher: Matcher,
    outputs: ValidationOutputs,
    reading: Reading,
    as_json: bool,
    *,
    platt: bool,
) -> None:
    """Write and print everything, and end with 1 if a study was not read."""
    maps = locate_worst(validation, scored, labelled, matcher, reading) if outputs.locate_worst else {}
    reference = None
    if outputs.reference is not None:
        reference = make_reference(matcher.engine.manifest.sha256, scored, studies)
    for one in validation.unread:
        say(f"study {one.name.number}, key {one.name.key or 'none'}: {one.error}")
    take_every_step(
        partial(outputs.write, validation, maps, reference, platt=platt),
        lambda: print_object(validation.as_dict()) if as_json else show_validation(validation),
    )
    if validation.unread:
        count = len(validation.unread) + validation.studies
        say(f"StudyError: {len(validation.unread)} of {count} studies could not be read and are in no figure")
        sys.exit(1)


def try_locating(labelled: LabelledStudies, question: Question, matcher: Matcher, reading: Reading) -> None:
    """Draw one heat map, so that an engine that has none is refused before the work: EngineError."""
    with suppress(StudyError):  # told at its turn
        study = reading.read(labelled.paths[0], matcher)
        matcher.locate(study, next(iter(question.labels.values())).positive[0])


def locate_worst(
    validation: Validation, scored: EngineScores, labelled: LabelledStudies, matcher: Matcher, reading: Reading
) -> dict[tuple[str, int], SmallMap]:
    """Draw where a label's first prompt matches in each of its worst cases, read again: pixels are not kept."""
    wanted = [(figures.label, case.name.number) for figures in validation.labels for case in figures.worst]
    maps = {}
    for label, number in show_progress(wanted, len(wanted), "heat maps"):
        study = reading.read(labelled.paths[number - 1], matcher)
        maps[label, number] = SmallMap.of(matcher.locate(study, scored.question.labels[label].positive[0]), 0)
    return maps


def show_validation(validation: Validation) -> None:
    """Print a row for each label, subgroups that have an AUC, and what must be known to read them."""
    title = f"{title_run(validation.provenance)} · {summarise(validation)}"
    has_points = any(one.point is not None for one in validation.labels)
    measured = ["threshold", "sensitivity", "specificity"] if has_points else ["AUC, DeLong"]
    rows = [
        (one.label, f"{one.positives} / {one.negatives}", show_figure(one.auc))
        + (show_point(one.point) if has_points else (show_figure(one.delong.interval),))
        for one in validation.labels
    ]
    print_table(title, ["label", "with / without", "AUC, bootstrap", *measured], rows)
    for one in validation.labels:
        if (found := one.comparison) is not None:
            say(
                f"{one.label}: AUC {one.auc.value:.3f} against {found.other_auc:.3f}, difference "
                f"{show_figure(found.difference)} by bootstrap, p {found.delong.p_value:.3f} by DeLong"
            )
        say(f"{one.label}: {explain_scores(one)}")
    if not has_points:
        say("no threshold for such scores lies beside the engine: alta calibrate chooses one, on other studies")
    say("intervals are 95 %; subgroups, curves and worst cases are in --html and --json")


def show_point(point: MeasuredPoint | None) -> tuple[str, str, str]:
    """Write a threshold and what it does, or that there is none."""
    if point is None:
        return ("-", "-", "-")
    return (f"{point.threshold:.4f}", show_figure(point.sensitivity), show_figure(point.specificity))
