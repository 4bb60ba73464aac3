"""`alta-train pair`: a table of radiographs with other people's reports, by finding, or with sentences made by rule."""

import csv
import io
import os
from collections import Counter
from pathlib import Path

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH, overwrite_option
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line, print_table, say
from alta_sdk.engine.prompt_words import describe_unknown
from alta_sdk.errors import TrainingError
from alta_sdk.files.targets import check_target, write_target

from ..data.pairing import (
    RULES,
    FoundRadiograph,
    Pair,
    describe_findings,
    describe_radiographs,
    find_report_findings,
    pair_radiographs,
    read_radiographs,
    read_reports,
    read_rules,
)
from ..data.records import COLUMNS, FINDINGS, MISSING, REPORT
from ..data.sentences import WORDINGS, read_wordings
from ..data.tables import find_image_folder

EXTRA = (FINDINGS, "patient", "report_uid")
HEADER = (*COLUMNS, REPORT, *EXTRA)


@click.command(cls=Program, context_settings=CONTEXT)
@click.option("--radiographs", required=True, type=PATH, help="Table: image, patient, findings and more.")
@click.option("--images", type=PATH, help="Their folder. [default: images beside the table]")
@click.option("--reports", type=PATH, help="Table: uid, findings, impression, mesh. [default: sentences by rule alone]")
@click.option("--output", required=True, type=PATH, help="The training table to write.")
@click.option("--split", help="Take only radiographs of this split.")
@click.option("--rules", default=RULES, type=PATH, help="Which mesh words fit which finding.")
@click.option(
    "--reports-per-radiograph",
    default=1,
    show_default=True,
    help="Rows a radiograph gets; of sentences by rule, each in other words.",
)
@click.option("--wordings", default=WORDINGS, type=PATH, help="How sentences by rule are worded.")
@click.option("--finding-sentences", is_flag=True, help='Put "There is X" of the radiograph\'s labels before a report.')
@click.option("--text-model", type=PATH, help="BERT folder: tell how many words of the reports its vocabulary lacks.")
@click.option("--priors/--no-priors", default=True, show_default=True, help="Link a patient's previous radiograph.")
@click.option("--seed", default=0, show_default=True, help="Of the draw between equally fitting reports.")
@overwrite_option("a table that is")
@fail_in_one_line
def pair(
    radiographs: Path,
    images: Path | None,
    reports: Path | None,
    output: Path,
    split: str | None,
    rules: Path,
    reports_per_radiograph: int,
    wordings: Path,
    finding_sentences: bool,
    text_model: Path | None,
    priors: bool,
    seed: int,
    overwrite: bool,
) -> None:
    """Pair radiographs with reports by finding, which are not of these patients, or with sentences made by rule.

    Sentences by rule say what a radiograph is labelled with, in words of --wordings, and nothing else.
    """
    read = (radiographs, reports, rules, wordings)
    check_target(output, "table", overwrite=overwrite, is_ours=is_table, inputs=read, error=TrainingError)
    by_rule = read_rules(rules)
    found = read_radiographs(radiographs, split)
    written = read_reports(reports) if reports else []
    if reports:
        pairs = pair_radiographs(
            found, written, by_rule, per_radiograph=reports_per_radiograph, seed=seed, link_priors=priors
        )
    else:
        pairs = describe_radiographs(
            found, read_wordings(wordings), per_radiograph=reports_per_radiograph, seed=seed, link_priors=priors
        )
    folder = images or find_image_folder(radiographs)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    for pair in pairs:
        report = pair.report.text
        if finding_sentences and reports:
            report = f"{describe_findings(pair.radiograph, by_rule)} {report}"
        own, prior = (_locate(r, folder, output.parent) for r in (pair.radiograph, pair.prior))
        findings = "|".join(pair.radiograph.findings)
        writer.writerow([own, MISSING, prior, MISSING, report, findings, pair.radiograph.patient, pair.report.uid])
    write_target(output, text.getvalue().encode(), "table", overwrite=overwrite, is_ours=is_table)
    if text_model:
        _tell_unknown_words([pair.report.text for pair in pairs], text_model)
    if reports:
        candidates = Counter(finding for report in written for finding in find_report_findings(report, by_rule))
        _show(found, pairs, candidates)
    else:
        say(f"{len(pairs)} rows of sentences made by rule from the labels of {len(found)} radiographs")


def is_table(head: bytes) -> bool:
    """Tell by its first line whether a file is a training table of this command."""
    return head.splitlines()[0] == ",".join(HEADER).encode()


def _tell_unknown_words(reports: list[str], folder: Path) -> None:
    from ..data.unknown_words import count_unknown_words  # torch, which nothing else here needs
    from ..families.checkpoint import read_text_model

    told = describe_unknown(count_unknown_words(reports, read_text_model(folder)))
    say("\n".join(told) or "the text model's vocabulary has all words of the reports")


def _locate(radiograph: FoundRadiograph | None, folder: Path, start: Path) -> str:
    if radiograph is None:
        return MISSING
    return Path(os.path.relpath(folder / radiograph.image, start)).as_posix()


def _show(found: list[FoundRadiograph], pairs: list[Pair], candidates: Counter[str]) -> None:
    radiographs = Counter(name for radiograph in found for name in radiograph.findings)
    rows = Counter(name for pair in pairs for name in pair.radiograph.findings)
    print_table(
        "Paired by finding: the reports are not of these patients",
        ["finding", "radiographs", "reports that fit", "rows"],
        [(name, radiographs[name], candidates[name], rows[name]) for name, _ in radiographs.most_common()],
    )
    left = len(found) - len({pair.radiograph.image for pair in pairs})
    linked = sum(pair.prior is not None for pair in pairs)
    say(f"{len(pairs)} rows; {left} radiographs without a fitting report; {linked} priors")
