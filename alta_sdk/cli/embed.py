"""`alta embed`: a folder of studies in, an index out; killed and started again, it goes on."""

import csv
import io
import os
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..dicom.files import Source
from ..errors import EngineError
from ..files.tables import show_cell
from ..files.targets import check_target, refuse_inputs, write_target
from ..index.embedding import EmbeddedStudy, check_index_target, embed_folder, find_index_mode, list_entries
from ..index.search import ReportIndex
from ..matching.matcher import Matcher
from ..study.study import Study
from .archive_options import ArchiveOptions, archive_options, is_archive
from .last_steps import take_every_step
from .option_groups import FILE, json_option, overwrite_option
from .reading import Reading, reading_options, say_notices
from .site_key import key_file_option, open_key
from .study_arguments import with_identifiers_option
from .terminal import fail_in_one_line, print_facts, print_line, print_object, say, show_progress

NAMES = ("number", "key", "path", "study_instance_uid", "accession_number")
STATES = ("is_new", "is_twin", "error_class", "error_message")


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="The index to write, or the archive: NAME.lance.")
@click.option("--csv", "table", type=FILE, help="CSV to write: each study's number and key, for alta rank --studies.")
@overwrite_option("a table that is")
@key_file_option
@with_identifiers_option
@json_option()
@archive_options
@reading_options
@fail_in_one_line
def embed(
    folder: str,
    out: str,
    table: Path | None,
    overwrite: bool,
    key_file: str | None,
    with_identifiers: bool,
    as_json: bool,
    archive: ArchiveOptions,
    reading: Reading,
) -> None:
    """Embed each study in FOLDER into an index for `alta rank` and ReportIndex.

    Each folder, zip and image that lies directly in FOLDER is one study, and so are its DICOM files of one
    StudyInstanceUID together. Run it again to go on after a stop, or to take in new studies. Exits with 1 if a
    study could not be read; the index holds the others. FOLDER may be a table of studies or s3://bucket/prefix where
    --out is an archive, NAME.lance (docs/archive.md). Not for clinical use.
    """
    if is_archive(out):
        if with_identifiers or table is not None:
            raise click.UsageError("--with-identifiers and --csv go with an index: an archive names no study's file")
        from .archive_embed import embed_archive

        embed_archive(folder, out, key_file, as_json, reading, archive)
        return
    archive.refuse_for_an_index()
    target, inputs = Path(out), (folder, key_file, reading.engine)
    refuse_inputs(target, inputs, "index", EngineError)
    if table is not None:
        check_target(table, "table", overwrite=overwrite, is_ours=is_table, inputs=(*inputs, out))
    entries = list_entries(Path(folder))
    if not os.path.isdir(target.parent):
        raise EngineError("folder of the index does not exist: make it, or give another --out")
    check_index_target(target)
    matcher = reading.open_matcher()
    say_notices(matcher)
    site_key = open_key(key_file, target.parent)  # after what may refuse: a run that is none makes no key
    noted: list[str] = []

    def read(source: Source) -> Study:
        return reading.read(source, matcher)

    def note(study: Study) -> None:
        noted.extend(study.read_notes(study.slots)[:1])

    outcomes = embed_folder(matcher, entries, target, site_key, read, note, with_identifiers=with_identifiers)
    studies = list(show_progress(outcomes, len(entries), "studies"))
    if noted:
        say(f"{len(noted)} of {len(studies)} studies were read with a notice: alta score tells which")
    report = describe(studies, matcher, len(ReportIndex.open(target, verify=False)))

    def write(path: Path) -> None:
        data = render_table(studies).encode("utf-8")
        write_target(path, data, "table", overwrite=overwrite, is_ours=is_table)

    take_every_step(
        None if table is None else partial(write, table),
        lambda: print_object(report) if as_json else show(report, with_identifiers=with_identifiers),
    )
    if report["unread"]:
        say(f"StudyError: {len(report['unread'])} of {len(studies)} studies could not be read; see the list")
        sys.exit(1)


def describe(studies: list[EmbeddedStudy], matcher: Matcher, entries: int) -> dict[str, Any]:
    """Return the report of a run: each study by number and key, with identifiers if they were asked for."""
    return {
        "entries": entries,
        "embedded": sum(study.is_new and not study.failure for study in studies),
        "already_there": sum(not study.is_new and not study.is_twin for study in studies),
        "twins": sum(study.is_twin for study in studies),
        "unread": [describe_study(study) for study in studies if study.failure],
        "studies": [describe_study(study) for study in studies],
        "provenance": {**matcher.provenance, "fusion_mode": find_index_mode(matcher)},
    }


def describe_study(study: EmbeddedStudy) -> dict[str, Any]:
    """Return what became of one study."""
    failed = {"error": study.failure.as_dict()} if study.failure else {}
    return {**study.study.as_dict(), "is_new": study.is_new, "is_twin": study.is_twin, **failed}


def render_table(studies: list[EmbeddedStudy]) -> str:
    """Return the table of a run, which `alta rank --studies` reads: number, key, who it is if asked for, errors."""
    told = [describe_study(study) for study in studies]
    named = [name for name in NAMES if name in told[0]]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*named, *STATES])
    for study, one in zip(studies, told, strict=True):
        failed = [study.failure.kind, study.failure.message] if study.failure else ["", ""]
        cells = [*(one[name] for name in named), int(study.is_new), int(study.is_twin), *failed]
        writer.writerow(map(show_cell, cells))
    return buffer.getvalue()


def is_table(head: bytes) -> bool:
    """Tell by its first line whether a file is such a table."""
    first = head.splitlines()[0]
    return first.startswith(b"number,key,") and first.endswith(",".join(STATES).encode())


def show(report: dict[str, Any], *, with_identifiers: bool) -> None:
    """Print the counts, and each unreadable study by its number and key."""
    print_facts(
        "Index",
        [
            ("entries", report["entries"]),
            ("embedded now", report["embedded"]),
            ("already there", report["already_there"]),
            ("same study twice in the folder", report["twins"]),
            ("unreadable", len(report["unread"])),
            *((("family", report["provenance"]["family"]),) if "family" in report["provenance"] else ()),
            ("fusion mode", report["provenance"]["fusion_mode"]),
        ],
    )
    if report["unread"]:
        kinds = Counter(study["error"]["class"] for study in report["unread"])
        print_line("Unreadable: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
        for study in report["unread"]:
            print_line(f"  study {study['number']}  {study['key']}  {study['error']['class']}")
    for study in report["studies"] if with_identifiers else ():
        print_line(f"  study {study['number']}  {study['key']}  {study['path']}")
