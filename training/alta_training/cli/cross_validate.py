"""`alta-train cross-validate`: recipes compared by cross-validation by patient.

Every run is what pair and fit do on the other folds (`folds.py`).
"""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line, print_line, say
from alta_sdk.engine.processor import processor_name
from alta_sdk.errors import TrainingError
from alta_sdk.files.targets import check_target, write_target

from ..data.labelled import read_labelled
from ..evaluation.arms import Arm, read_arms
from ..recipes import find_shipped
from .comparison import BASELINES, Comparison
from .packages import need_packages

MEASURED = "AUC on patients that a run never saw"


@click.command(cls=Program, context_settings=CONTEXT)
@click.argument("arms_file", type=PATH)
@click.option("--backbone", required=True, type=PATH, help="As fit's.")
@click.option("--radiographs", required=True, type=PATH, help="Labelled table: image, patient, view, findings, split.")
@click.option("--split", "splits", multiple=True, default=("train", "val"), show_default=True, help="Rows to divide.")
@click.option("--finding", default="Pneumonia", show_default=True, help="Against No Finding.")
@click.option("--reports", type=PATH, help="As pair's, for arms that say reports = true.")
@click.option("--teacher", type=PATH, help="As fit's, for arms that say teacher = true.")
@click.option("--rows-per-radiograph", "rows", default=4, show_default=True, help="Texts a radiograph gets.")
@click.option("--folds", default=5, show_default=True, type=click.IntRange(min=2), help="Parts, by patient.")
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(min=1), help="Divisions, each run anew.")
@click.option(
    "--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Runs at a time, one thread each."
)
@click.option("--cache", required=True, type=PATH, help="As fit's; runs share it.")
@click.option("--output", required=True, type=PATH, help="Folder for scores; what is there already is not run again.")
@click.option("--markdown", type=PATH, help="Write the table to a file, too, over an older one.")
@fail_in_one_line
def cross_validate(arms_file: Path, folds: int, seeds: int, jobs: int, markdown: Path | None, **given: object) -> None:
    """Run every arm of ARMS_FILE on every fold, and print AUCs on patients that a run never saw, with gains.

    ARMS_FILE is a TOML file, or demo-arms or demo-arms-more, which are shipped.
    """
    comparison = Comparison(**given)  # type: ignore[arg-type]  # click's names are the fields
    arms_file = find_shipped(arms_file, arms=True)
    arms = read_arms(arms_file)
    if markdown:
        read = (arms_file, comparison.backbone, comparison.radiographs, comparison.reports, comparison.teacher)
        check_target(markdown, "table", overwrite=True, is_ours=is_table, inputs=read, error=TrainingError)
    check_files(comparison, arms)
    radiographs = [
        one
        for split in comparison.splits
        for one in read_labelled(comparison.radiographs, split=split, finding=comparison.finding)
    ]
    need_packages()
    from .folds import compare

    table = compare(comparison, arms, radiographs, folds, seeds, jobs)
    patients = len({one.patient for one in radiographs})
    text = (
        f"{comparison.finding} against No Finding, {len(radiographs)} radiographs of {patients} patients "
        f"({' and '.join(comparison.splits)}), {folds} folds by patient, {seeds} divisions and seeds, each arm on "
        f"the same; {MEASURED}, mean of {folds * seeds} runs, 95 % intervals by patient. "
        f"{processor_name()}.\n\n" + table
    )
    for line in text.splitlines():
        print_line(line)
    if markdown:
        write_target(markdown, text.encode(), "table", overwrite=True, is_ours=is_table)
    say("Not for clinical use.")


def is_table(head: bytes) -> bool:
    """Tell by its first line whether a file is a table of this command."""
    return MEASURED.encode() in head.splitlines()[0]


def check_files(comparison: Comparison, arms: Sequence[Arm]) -> None:
    """Refuse before the first run what would fail in one (TrainingError)."""
    if any(arm.reports for arm in arms) and comparison.reports is None:
        raise TrainingError("an arm learns from reports: give --reports")
    if any(arm.teacher for arm in arms) and comparison.teacher is None:
        raise TrainingError("an arm learns from a teacher: give --teacher")
    if any(arm.name in BASELINES for arm in arms):
        raise TrainingError(f"an arm is named as a baseline ({', '.join(BASELINES)}): give it another name")
    for file in (comparison.backbone, comparison.reports, comparison.teacher, *(arm.recipe for arm in arms)):
        if file is not None and not os.path.isfile(file):
            raise TrainingError(f"{file.name} not found: give a file that is there")
