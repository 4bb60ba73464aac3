"""`alta rank`: the reports, or the indexed entries, that match a study best."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..files.targets import check_target
from ..index.file import is_index
from ..index.reports import index_reports
from ..index.search import ReportIndex
from ..matching.matcher import Matcher
from ..matching.ranking import rank_reports, read_reports
from .archive_options import is_archive
from .archive_search import where_option
from .last_steps import take_every_step
from .option_groups import COUNT, FILE, json_option, overwrite_option
from .reading import Reading, check_one_way, find_prior_option, prior_option, reading_options, say_notices
from .site_key import open_key
from .terminal import fail_in_one_line, print_object, print_table, say, title_run


@click.command()
@click.argument("study", metavar="STUDY", type=click.Path())
@prior_option
@find_prior_option
@click.option("--reports", type=click.Path(), help="A text file with one report a line, or a CSV file.")
@click.option("--column", default="report", show_default=True, help="The column of reports in a CSV file.")
@click.option("--index", type=click.Path(), help="An index of studies (alta embed) or reports (--write-index).")
@where_option
@click.option("--write-index", type=FILE, help="Also keep the --reports as an index.")
@overwrite_option("an index that is")
@click.option("--key-file", type=click.Path(), help="The site key for --write-index, as for alta embed.")
@click.option("--top", "count", type=COUNT, default=10, show_default=True, help="How many to show.")
@click.option("--exact", is_flag=True, help="Of an archive: read every study, and not the nearest cells alone.")
@click.option("--show-text", is_flag=True, help="Show the reports themselves: patient data.")
@json_option()
@reading_options
@fail_in_one_line
def rank(
    study: str,
    prior: str | None,
    find_prior: bool,
    reports: str | None,
    column: str,
    index: str | None,
    where: str | None,
    write_index: Path | None,
    overwrite: bool,
    key_file: str | None,
    count: int,
    exact: bool,
    show_text: bool,
    as_json: bool,
    reading: Reading,
) -> None:
    """Order reports, or the entries of an index, by how well they match STUDY.

    Reports are named by their row, counted from 1 without a header; entries of an index also by their
    opaque key. Reports longer than the engine reads are cut, and said to be. Not for clinical use.
    """
    if (reports is None) == (index is None):
        raise click.UsageError("give one of --reports and --index")
    if (show_text or write_index) and reports is None:
        raise click.UsageError("--show-text and --write-index go with --reports")
    check_one_way(prior, find_prior)
    if index is not None and is_archive(index):
        from .archive_rank import rank_archive

        rank_archive(study, index, where, count, exact, as_json, reading, prior=prior, find_prior=find_prior)
        return
    if where is not None:
        raise click.UsageError("--where goes with an archive: --index NAME.lance")
    if write_index is not None:
        read = (study, prior, reports, key_file, reading.engine)
        check_target(write_index, "index", overwrite=overwrite, is_ours=is_index, inputs=read)
    texts = read_reports(reports, column) if reports else []
    opened = ReportIndex.open(index) if index else None
    matcher = reading.open_matcher()
    loaded = reading.read(study, matcher, prior=prior, find_prior=find_prior)
    embedding = matcher.embed(loaded)
    provenance: dict[str, Any] = {**matcher.provenance, "fusion_mode": embedding.mode}
    notes = loaded.read_notes(loaded.slots)
    if opened is not None:
        matches = opened.search(embedding, count, exact=exact)
        rows: list[dict[str, Any]] = [{"row": m.row + 1, "key": m.key, "score": m.score} for m in matches]
        provenance |= {"index": opened.origin.kind, "approximate": False}
    else:
        ranking = rank_reports(matcher.engine, embedding, texts, provenance)
        rows = [{**asdict(report), "row": report.row + 1} for report in ranking.reports[:count]]
        provenance = ranking.provenance
        notes += provenance["report_reading"]
    if show_text:
        rows = [{**row, "report": texts[row["row"] - 1]} for row in rows]
    say_notices(matcher, notes)
    found = {"matches": rows, "provenance": provenance}
    take_every_step(
        partial(keep_index, write_index, matcher, texts, key_file) if write_index else None,
        lambda: print_object(found) if as_json else show_matches(rows, provenance),
    )


def keep_index(path: Path, matcher: Matcher, texts: list[str], key_file: str | None) -> None:
    """Write the reports' vectors and keys, and say so."""
    index = index_reports(path, matcher, texts, open_key(key_file, path.parent))
    say(f"wrote an index of {len(index)} reports, without their text")


def describe_reading(row: Mapping[str, Any]) -> Iterator[str]:
    """Say of one match what was not read of it."""
    if row.get("is_cut"):
        yield "cut"
    if row.get("unknown_words"):
        yield f"{row['unknown_words']} of {row['words']} words unknown"


def show_matches(rows: list[dict[str, Any]], provenance: dict[str, Any]) -> None:
    """Print one line for each match, best first."""
    names = [name for name in ("row", "key", "report") if name in rows[0]]
    cells = [
        [*(str(row[name]) for name in names), f"{row['score']:.4f}", ", ".join(describe_reading(row))] for row in rows
    ]
    print_table(
        title_run(provenance, "runtime"),
        [*names, "cosine", ""],
        cells,
    )
    if provenance.get("reports_cut"):
        say(f"{provenance['reports_cut']} reports were cut to the {provenance['max_tokens']} tokens that are read")
