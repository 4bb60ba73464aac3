"""`alta embed`: a folder of studies in, an index out; killed and started again, it goes on."""

import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..dicom.files import Source
from ..errors import EngineError
from ..files.targets import refuse_inputs
from ..index.embedding import EmbeddedStudy, check_index_target, embed_folder, find_index_mode, list_entries
from ..index.search import ReportIndex
from ..matching.matcher import Matcher
from ..study.key import SITE_KEY_NAME
from ..study.study import Study
from .archive_options import ArchiveOptions, archive_options, is_archive
from .reading import Reading, reading_options, say_notices
from .site_key import open_key
from .terminal import fail_in_one_line, print_facts, print_line, print_object, say, show_progress


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="The index to write, or the archive: NAME.lance.")
@click.option(
    "--key-file",
    type=click.Path(),
    help=f"The site key that names studies. [default: ALTA_SITE_KEY, or {SITE_KEY_NAME} in your settings folder]",
)
@click.option("--with-identifiers", is_flag=True, help="Name each study by its file, too: patient data.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@archive_options
@reading_options
@fail_in_one_line
def embed(
    folder: str,
    out: str,
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
        if with_identifiers:
            raise click.UsageError("--with-identifiers goes with an index: an archive never names a study's file")
        from .archive_embed import embed_archive

        embed_archive(folder, out, key_file, as_json, reading, archive)
        return
    archive.refuse_for_an_index()
    target = Path(out)
    refuse_inputs(target, (folder, key_file, reading.engine), "index", EngineError)
    entries = list_entries(Path(folder))
    if not os.path.isdir(target.parent):
        raise EngineError("folder of the index does not exist: make it, or give another --out")
    check_index_target(target)
    matcher = reading.open_matcher()
    say_notices(matcher)
    site_key = open_key(key_file, target.parent)  # after what may refuse: a run that is none makes no key
    noted: list[str] = []

    def read(source: Source) -> Study:
        study = reading.read(source, matcher)
        noted.extend(study.read_notes(study.slots)[:1])
        return study

    outcomes = embed_folder(matcher, entries, target, site_key, read)
    studies = list(show_progress(outcomes, len(entries), "studies"))
    if noted:
        say(f"{len(noted)} of {len(studies)} studies were read with a notice: alta score tells which")
    report = describe(studies, matcher, len(ReportIndex.open(target, verify=False)), with_identifiers)
    if as_json:
        print_object(report)
    else:
        show(report)
    if report["unreadable"]:
        say(f"StudyError: {len(report['unreadable'])} of {len(studies)} studies could not be read; see the list")
        sys.exit(1)


def describe(studies: list[EmbeddedStudy], matcher: Matcher, entries: int, with_identifiers: bool) -> dict[str, Any]:
    """Return the report of a run; without identifiers a study is its key alone."""

    def name(study: EmbeddedStudy) -> dict[str, Any]:
        return {"key": study.key, **({"name": study.name} if with_identifiers else {})}

    report: dict[str, Any] = {
        "entries": entries,
        "embedded": sum(study.is_new and not study.error for study in studies),
        "already_there": sum(not study.is_new and not study.is_twin for study in studies),
        "twins": sum(study.is_twin for study in studies),
        "unreadable": [{**name(study), "error": study.error} for study in studies if study.error],
        "provenance": {**matcher.provenance, "fusion_mode": find_index_mode(matcher)},
    }
    if with_identifiers:
        report["studies"] = [asdict(study) for study in studies]
    return report


def show(report: dict[str, Any]) -> None:
    """Print the counts, and each unreadable study by its key."""
    print_facts(
        "Index",
        [
            ("entries", report["entries"]),
            ("embedded now", report["embedded"]),
            ("already there", report["already_there"]),
            ("same study twice in the folder", report["twins"]),
            ("unreadable", len(report["unreadable"])),
            *((("family", report["provenance"]["family"]),) if "family" in report["provenance"] else ()),
            ("fusion mode", report["provenance"]["fusion_mode"]),
        ],
    )
    if report["unreadable"]:
        kinds = Counter(study["error"] for study in report["unreadable"])
        print_line("Unreadable: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
        for study in report["unreadable"]:
            print_line("  " + "  ".join(str(value) for value in study.values()))
    for study in report.get("studies", []):
        print_line(f"  {study['key']}  {study['name']}")
