"""`alta rank`: the reports, or the indexed entries, that match a study best."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..engine.clock import tell_time
from ..files.targets import check_target
from ..index.file import is_index
from ..index.reports import index_reports
from ..index.search import ReportIndex
from ..matching.audit_log import note
from ..matching.embeddings import embed_study
from ..matching.matcher import Matcher
from ..matching.ranking import rank_reports, read_reports
from ..study.naming import StudyName
from .archive_options import is_archive
from .archive_search import Asked, where_option
from .known_studies import read_known_studies
from .last_steps import take_every_step
from .option_groups import COUNT, FILE, json_option, overwrite_option
from .reading import Reading, check_one_way, find_prior_option, prior_option, reading_options, say_notices
from .site_key import key_file_option, make_namer, open_key
from .study_arguments import check_identifiers, with_identifiers_option
from .terminal import fail_in_one_line, print_line, print_object, print_table, say, title_run


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
@click.option(
    "--studies",
    "known",
    type=click.Path(),
    metavar="TABLE.csv|FOLDER",
    help="Tell the path of each match of --index: from a table with columns key and path (alta embed, alta score), or "
    "by looking through a folder with the site key: patient data.",
)
@with_identifiers_option
@key_file_option
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
    known: str | None,
    with_identifiers: bool,
    key_file: str | None,
    count: int,
    exact: bool,
    show_text: bool,
    as_json: bool,
    reading: Reading,
) -> None:
    """Order reports, or the entries of an index, by how well they match STUDY.

    Reports are named by their row, counted from 1 without a header; entries of an index also by their opaque key,
    which --studies turns back into a path. Reports longer than the engine reads are cut, and said to be. Not for
    clinical use.
    """
    check_sources(reports, index, needs_reports=bool(show_text or write_index), needs_index=known is not None)
    check_identifiers(with_identifiers, as_json)
    check_one_way(prior, find_prior)
    if index is not None and is_archive(index):
        if known is not None:
            raise click.UsageError("--studies goes with an index: alta archive search --with-pictures finds studies")
        from .archive_rank import rank_archive

        asked = Asked(where, count, exact, as_json, key_file, with_identifiers)
        rank_archive(study, index, asked, reading, prior=prior, find_prior=find_prior)
        return
    if where is not None:
        raise click.UsageError("--where goes with an archive: --index NAME.lance")
    if write_index is not None:
        read = (study, prior, reports, key_file, reading.engine)
        check_target(write_index, "index", overwrite=overwrite, is_ours=is_index, inputs=read)
    texts = read_reports(reports, column) if reports else []
    opened = ReportIndex.open(index) if index else None
    beside = Path(index).parent if index else None
    paths = read_known_studies(known, opened.origin, key_file, beside) if known and opened and beside else {}
    matcher = reading.open_matcher()
    loaded = reading.read(study, matcher, prior=prior, find_prior=find_prior)
    namer = make_namer(key_file, is_needed=as_json, with_identifiers=with_identifiers, beside=beside)
    embedding, origin = embed_study(matcher.engine, loaded, matcher.fusion_mode)
    provenance: dict[str, Any] = {**matcher.provenance, **origin}
    notes = loaded.read_notes(loaded.slots)
    if opened is not None:
        matches = opened.search(embedding, count, exact=exact)
        rows: list[dict[str, Any]] = [{"row": m.row + 1, "key": m.key, "cosine": m.cosine} for m in matches]
        if known is not None:
            rows = [{**row, "path": paths.get(row["key"])} for row in rows]
            say_unknown(rows)
        provenance |= {"index": opened.origin.kind, "approximate": False}
    else:
        ranking = rank_reports(matcher.engine, embedding, texts, provenance)
        rows = [{**asdict(report), "row": report.row + 1} for report in ranking.reports[:count]]
        provenance = ranking.provenance
        notes += provenance["report_reading"]
    if show_text:
        rows = [{**row, "report": texts[row["row"] - 1]} for row in rows]
    note(matcher.audit, "ranked", provenance)
    say_notices(matcher, notes)
    name = namer.name(1, Path(study), study=loaded) if as_json else StudyName(1)
    found = {**name.as_dict(), "matches": rows, "provenance": {**provenance, "scored_at": tell_time()}}
    take_every_step(
        partial(keep_index, write_index, matcher, texts, key_file) if write_index else None,
        lambda: print_object(found) if as_json else show_matches(rows, provenance),
    )


def keep_index(path: Path, matcher: Matcher, texts: list[str], key_file: str | None) -> None:
    """Write the reports' vectors and keys, and say so."""
    index = index_reports(path, matcher, texts, open_key(key_file, path.parent))
    say(f"wrote an index of {len(index)} reports, without their text")


def check_sources(reports: str | None, index: str | None, *, needs_reports: bool, needs_index: bool) -> None:
    """Raise UsageError unless there is one thing to rank, and what goes with it."""
    if (reports is None) == (index is None):
        raise click.UsageError("give one of --reports and --index")
    if needs_reports and reports is None:
        raise click.UsageError("--show-text and --write-index go with --reports")
    if needs_index and index is None:
        raise click.UsageError("--studies goes with --index: its entries are what it names")


def say_unknown(rows: list[dict[str, Any]]) -> None:
    """Say how many matches are of no study that was given."""
    if unknown := sum(row["path"] is None for row in rows):
        say(f"{unknown} of {len(rows)} matches are of no study in what --studies gives")


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
        [*(str(row[name]) for name in names), f"{row['cosine']:.4f}", ", ".join(describe_reading(row))] for row in rows
    ]
    print_table(
        title_run(provenance, "runtime"),
        [*names, "cosine", ""],
        cells,
    )
    for row in rows if "path" in rows[0] else ():  # a column would fold them
        print_line(f"  row {row['row']}  {row['path'] or '-'}")
    if provenance.get("reports_cut"):
        say(f"{provenance['reports_cut']} reports were cut to the {provenance['max_tokens']} tokens that are read")
