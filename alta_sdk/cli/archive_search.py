"""`alta archive search`: the studies that match a phrase best, as a table or a page; and what `alta rank` prints."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from ..engine.clock import tell_time
from ..engine.manifest_content import KNOWN_MODES
from ..files.targets import check_target, write_target
from .last_steps import take_every_step
from .option_groups import COUNT, FILE, json_option, overwrite_option, threads_option, trust_option
from .site_key import key_file_option
from .terminal import fail_in_one_line, print_line, print_object, print_table, say, title_run

if TYPE_CHECKING:
    from ..archive.table import Search

SCORE = "score_"  # how the columns of labels begin


@dataclass(frozen=True)
class Asked:
    """What `alta rank` asks of an archive, and how it is told."""

    where: str | None
    count: int
    exact: bool
    as_json: bool
    key_file: str | None
    with_identifiers: bool


where_option = click.option("--where", metavar="FILTER", help="Only studies such as age >= 60 and view = 'PA'.")


@click.command()
@click.argument("archive", metavar="NAME.lance", type=click.Path())
@click.option("--engine", required=True, type=click.Path(), help="The engine: a folder NAME.alta.")
@click.option("--text", required=True, help='A phrase, such as "left pleural effusion".')
@click.option("--top", "count", type=COUNT, default=50, show_default=True, help="How many to show.")
@where_option
@click.option("--exact", is_flag=True, help="Read every study.")
@click.option("--html", type=FILE, help="Also write a page.")
@click.option(
    "--with-pictures",
    "source",
    metavar="FOLDER",
    type=click.Path(),
    help="Small pictures in the page, of the studies as FOLDER or table has them: patient data.",
)
@key_file_option
@overwrite_option("a page that is")
@json_option()
@threads_option
@trust_option
@click.option("--fusion-mode", type=click.Choice(KNOWN_MODES), help="That of the archive. [default: the engine's]")
@fail_in_one_line
def search(
    archive: str,
    engine: str,
    text: str,
    count: int,
    where: str | None,
    exact: bool,
    html: Path | None,
    source: str | None,
    key_file: str | None,
    overwrite: bool,
    as_json: bool,
    threads: int | None,
    trust: str | None,
    fusion_mode: str | None,
) -> None:
    """List the studies that match a phrase best, by their keys. Not for clinical use."""
    from ..archive.table import Archive
    from ..matching.matcher import Matcher
    from ..report.archive_page import is_archive_page, render_found
    from .archive_pictures import read_pictures

    if source is not None and html is None:
        raise click.UsageError("--with-pictures goes with --html: the pictures are in the page")
    if html is not None:
        inputs = (archive, engine, source, key_file)
        check_target(html, "page", overwrite=overwrite, is_ours=is_archive_page, inputs=inputs)
    opened = Archive(archive)
    filter = opened.parse_where(where)
    matcher = Matcher(engine, threads=threads, fusion_mode=fusion_mode, trust=trust)
    for notice in matcher.engine.manifest.notices:
        say(notice)
    result = opened.search_text(text, matcher, count, filter, exact=exact)
    provenance = {**matcher.provenance, "fusion_mode": opened.origin.mode, **describe(result), "scored_at": tell_time()}

    def write(page: Path) -> None:
        keys = [one.key for one in result.found]
        pictures = read_pictures(opened, source, key_file, keys) if source else {}
        data = render_found(list_rows(result), pictures, provenance).encode("utf-8")
        write_target(page, data, "page", overwrite=overwrite, is_ours=is_archive_page)

    take_every_step(partial(write, html) if html else None, lambda: show(result, provenance, as_json))


def list_rows(result: "Search") -> list[dict[str, Any]]:
    """Return what is shown of each study: its key, the cosine, the scores of the archive's labels by name."""
    rows: list[dict[str, Any]] = [{"key": one.key, "cosine": one.cosine} for one in result.found]
    for row, one in zip(rows, result.found, strict=True):
        if one.scores:
            row["labels"] = {name.removeprefix(SCORE): score for name, score in one.scores.items()}
    return rows


def describe(result: "Search") -> dict[str, Any]:
    """Return what is said of a search."""
    return {"index": "archive", "approximate": not result.is_exact, "studies": result.rows}


def show(
    result: "Search", provenance: dict[str, Any], as_json: bool, name: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Print what was found. name: of the study that was asked for, where it is one."""
    rows = list_rows(result)
    if as_json:
        print_object({**name, "matches": rows, "provenance": provenance})
    elif not rows:
        print_line("no study passes the filter")
    else:
        how = "" if result.is_exact else ", approximate"
        show_found(rows, f"{title_run(provenance, 'runtime')} · {result.rows} studies{how}")


def show_found(rows: list[dict[str, Any]], title: str) -> None:
    """Print a line for each study, best first."""
    labels = list(rows[0].get("labels", ()))
    cells = [
        [row["key"], f"{row['cosine']:.4f}", *(show_score(row["labels"][name]) for name in labels)] for row in rows
    ]
    print_table(title, ["key", "cosine", *labels], cells)


def show_score(score: float | None) -> str:
    """Return a score as it is printed, nothing for one that is not known."""
    return "" if score is None else f"{score:.3f}"
