"""`alta calibrate`: a table of labelled studies in, this site's thresholds beside the engine."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from ..engine.manifest_content import PRIOR
from ..errors import AltaError, CalibrationError
from ..files.targets import check_target, write_target
from ..matching.embeddings import StudyEmbedding
from ..matching.matcher import Matcher
from ..matching.operating_point import Target, check_truth
from ..matching.thresholds import Threshold, choose_threshold
from ..matching.unknown_words import log_notes
from ..report.calibration_page import is_calibration_page, render_calibration
from ..statistics.curves import trace_roc
from ..statistics.intervals import Interval, Proportion
from ..statistics.resampling import bootstrap_auc
from ..study.labelled import LabelledStudies, read_labelled_studies
from ..study.study import Study
from ..validation.scored import ask, score_all
from .label_help import LabelledCommand
from .last_steps import take_every_step
from .option_groups import FILE, json_option, overwrite_option
from .reading import Reading, reading_options, say_notices
from .terminal import fail_in_one_line, print_object, print_table, say, show_progress

SHOWN_ROWS = 10


@click.command(cls=LabelledCommand)
@click.argument("table", metavar="TABLE.csv", type=click.Path())
@click.option("--label", "names", required=True, multiple=True, help="A column of truth, and the finding it is of.")
@click.option("--labels", "label_set", help="The label set that the findings are scored in. [default: pairs]")
@click.option("--study-column", default="study", show_default=True, help="The column with the path of each study.")
@click.option("--patient-column", default="patient", show_default=True, help="Whose study it is, if the table has it.")
@click.option("--html", type=FILE, help="Page to write: each ROC curve with the point that was chosen.")
@click.option(
    "--find-prior",
    is_flag=True,
    help="Each study's path holds several studies of one patient: take the latest, with the latest earlier one.",
)
@click.option(
    "--target",
    type=click.Choice(["youden", "sensitivity", "specificity"]),
    default="youden",
    show_default=True,
    help="What the threshold is chosen for.",
)
@click.option("--at-least", type=float, help="The sensitivity or specificity to reach.")
@overwrite_option("a threshold that is", "; the earlier one stays in the file's history")
@json_option()
@reading_options
@fail_in_one_line
def calibrate(
    table: str,
    names: tuple[str, ...],
    label_set: str | None,
    study_column: str,
    find_prior: bool,
    patient_column: str,
    html: Path | None,
    target: Target,
    at_least: float | None,
    overwrite: bool,
    as_json: bool,
    reading: Reading,
) -> None:
    """Choose thresholds on this site's own labelled studies and keep them beside the engine.

    TABLE.csv has a column of paths, from the table's own folder, and a column of 1, 0 or nothing (not
    known) for each finding. With a column patient, intervals draw whole patients. Every study must be readable.
    An engine that reads priors scores a study with a prior and one without in two ways: thresholds are for the
    kind that TABLE.csv has. `alta validate` measures the thresholds on other studies. Not for clinical use.
    """
    names = tuple(dict.fromkeys(names))
    if html is not None:
        inputs = (table, reading.engine)
        check_target(html, "page", overwrite=overwrite, is_ours=is_calibration_page, inputs=inputs)
    labelled = read_labelled_studies(Path(table), study_column, names, (patient_column,))
    patients = labelled.group_patients(patient_column)
    for name in names:
        check_truth(labelled.select(name)[1], target, at_least)
    matcher = reading.open_matcher()
    matcher.check_thresholds(names, labels=label_set, overwrite=overwrite)
    embeddings = embed_rows(matcher, labelled, partial(reading.read, matcher=matcher, find_prior=find_prior))
    chosen, aucs, curves = [], {}, {}
    for name in names:
        question = ask(matcher, label_set or [name])
        log_notes(question.notes)
        rows, truth = labelled.select(name)
        whose = None if patients is None else patients[rows]
        scored = score_all(question, [embeddings[row] for row in rows.tolist()])
        scores = scored.scores[name]
        chosen.append(
            choose_threshold(question.bind(name, scored.mode), scores.tolist(), truth, target, at_least, whose)
        )
        aucs[name], curves[name] = bootstrap_auc(scores, truth, whose), trace_roc(scores, truth)
    say_notices(matcher)
    provenance = {**matcher.provenance, "fusion_mode": chosen[0].binding.fusion_mode}
    told = {
        "thresholds": [asdict(one) for one in chosen],
        "auc": {name: asdict(auc) for name, auc in aucs.items()},
        "provenance": provenance,
    }

    def draw(path: Path) -> None:
        page = render_calibration(chosen, aucs, curves, provenance).encode("utf-8")
        write_target(path, page, "page", overwrite=overwrite, is_ours=is_calibration_page)

    take_every_step(
        partial(matcher.keep_thresholds, chosen, overwrite=overwrite),
        None if html is None else partial(draw, html),
        lambda: print_object(told) if as_json else show_thresholds(chosen, aucs, matcher.provenance.get("family")),
    )


def embed_rows(matcher: Matcher, labelled: LabelledStudies, read: Callable[[Path], Study]) -> dict[int, StudyEmbedding]:
    """Embed each study that any label needs, once; one that cannot be read is an error with its row."""
    rows = sorted({int(row) for name in labelled.truth for row in labelled.select(name)[0]})
    embeddings = {}
    for row in show_progress(rows, len(rows), "studies"):
        try:
            study = read(labelled.paths[row])
            embeddings[row] = matcher.embed(study)
        except AltaError as error:  # leaving it out would choose the threshold on easier studies
            raise CalibrationError(f"row {row + 1} of the table of studies: {type(error).__name__}: {error}") from error
        for note in study.read_notes(study.slots):
            say(f"row {row + 1}, {note}")
    check_one_kind(embeddings)
    return embeddings


def check_one_kind(embeddings: Mapping[int, StudyEmbedding]) -> None:
    """Raise CalibrationError, with rows, if some studies have a prior that is read and some have none."""
    without = [row + 1 for row, one in embeddings.items() if one.mode != PRIOR]
    if 0 < len(without) < len(embeddings):
        shown = ", ".join(map(str, without[:SHOWN_ROWS])) + (" …" if len(without) > SHOWN_ROWS else "")
        raise CalibrationError(
            f"{len(without)} of {len(embeddings)} studies have no prior that is read (row {shown}), and their scores "
            "are of another kind: leave them out of the table, or choose --fusion-mode frontal"
        )


def show_thresholds(chosen: list[Threshold], aucs: dict[str, Interval], family: object = None) -> None:
    """Print one line for each label; intervals are 95 %. family: told, with the mode, if it is not ALTA."""

    of_engine = f" · family {family} · fusion {chosen[0].binding.fusion_mode}" if family else ""

    def share(proportion: Proportion) -> str:
        return f"{proportion.value:.3f} ({proportion.low:.3f} to {proportion.high:.3f})"

    print_table(
        "Thresholds, with what they did on the studies that chose them" + of_engine,
        ["label", "target", "threshold", "sensitivity", "specificity", "AUC", "positive", "negative"],
        [
            (
                one.binding.label,
                one.target if one.at_least is None else f"{one.target} {one.at_least:g}",
                f"{one.point.threshold:.4f} ({one.point.low:.4f} to {one.point.high:.4f})",
                share(one.point.sensitivity),
                share(one.point.specificity),
                str(aucs[one.binding.label]),
                one.point.positives,
                one.point.negatives,
            )
            for one in chosen
        ],
    )
    say("chosen and measured on the same studies, so somewhat too good: measure on others before you rely on them")
    say("(alta validate TABLE.csv, a table of studies of other patients)")
