"""What `alta score` writes beside its table: a CSV file, a page, heat maps in the page; and progress."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..engine.engine import Engine
from ..engine.manifest import Manifest
from ..files.targets import IsOurs, check_target, is_same_file, write_target
from ..matching.matcher import Matcher
from ..matching.prompts import Labels, resolve_labels
from ..matching.results import ZeroShotResult
from ..report.card import describe_card
from ..report.page import is_page, render_page
from ..report.pictures import make_small_pictures
from ..report.run import ORIGIN, ReportRow, RunReport, SmallMap, is_csv, render_csv
from ..study.naming import Failure, StudyName
from ..study.study import Study
from .last_steps import take_every_step
from .option_groups import FILE, group_options, overwrite_option
from .study_arguments import with_identifiers_option


@dataclass(frozen=True)
class Outputs:
    """The files of a run. phrases: what to draw heat maps of."""

    csv: Path | None
    html: Path | None
    phrases: tuple[str, ...]
    with_identifiers: bool
    overwrite: bool
    with_pictures: bool = False

    @property
    def is_asked_for(self) -> bool:
        """True if a report is written."""
        return self.csv is not None or self.html is not None

    def check(self, inputs: Iterable[str | None], *, as_json: bool) -> None:
        """Refuse what cannot be written before any study is read; inputs: the paths that are."""
        if self.phrases and self.html is None:
            raise click.UsageError("--locate goes with --html: the heat maps are in the page")
        if self.with_pictures and self.html is None:
            raise click.UsageError("--with-pictures goes with --html: the pictures are in the page")
        if self.with_identifiers and not (self.is_asked_for or as_json):
            raise click.UsageError("--with-identifiers goes with --csv, --html or --json: nothing else names a study")
        if self.csv is not None and self.html is not None and is_same_file(self.csv, self.html):
            raise click.UsageError("--csv and --html are one file: give two")
        read = list(inputs)
        for path, is_ours in ((self.csv, is_csv), (self.html, is_page)):
            if path is not None:
                check_target(path, "report", overwrite=self.overwrite, is_ours=is_ours, inputs=read)

    def make_row(self, matcher: Matcher, study: Study, result: ZeroShotResult, name: StudyName) -> ReportRow:
        """Keep what the report says of one study, heat maps included."""
        maps = [SmallMap.of(matcher.locate(study, phrase), number) for number, phrase in enumerate(self.phrases)]
        limits = {name: decision.threshold for name, decision in result.decisions.items()}
        slots, notices = (tuple(result.provenance[name]) for name in ("slots", "reading"))
        mode, told = result.provenance["fusion_mode"], {**result.provenance, "scored_at": result.scored_at}
        pictures = make_small_pictures(study, slots) if self.with_pictures else ()
        origin = {field: told[field] for field in ORIGIN}
        return ReportRow(
            result.scores, slots, limits, maps, notices, mode, origin=origin, pictures=pictures, **list_names(name)
        )

    def make_failed_row(self, failure: Failure, name: StudyName) -> ReportRow:
        """Keep why a study has no scores."""
        return ReportRow(error=failure, **list_names(name))

    def write(self, rows: list[ReportRow], provenance: dict[str, Any], engine: Engine, labels: Labels) -> None:
        """Write the files that were asked for: one that cannot be written does not cost the other."""
        if not self.is_asked_for:
            return
        prompts = resolve_labels(labels, engine.label_sets, engine.manifest.prompt_pair)
        card = describe_card(engine.bundle)
        report = RunReport(rows, provenance, self.phrases, describe_terms(engine.manifest), prompts, card)

        def write(path: Path | None, render: Callable[[RunReport], str], is_ours: IsOurs) -> None:
            if path is not None:
                data = render(report).encode("utf-8")
                write_target(path, data, "report", overwrite=self.overwrite, is_ours=is_ours)

        take_every_step(
            partial(write, self.csv, render_csv, is_csv),
            partial(write, self.html, render_page, is_page),
        )


def describe_terms(manifest: Manifest) -> dict[str, str]:
    """Return what who reads scores must know of an engine: what it is, what it is for, and what its scores are."""
    terms = {
        "method": manifest.method,
        "intended use": manifest.intended_use,
        "licence": manifest.licence,
        "logit scale is": manifest.logit_scale_note,
    }
    return {name: value for name, value in terms.items() if value}


def list_names(name: StudyName) -> dict[str, Any]:
    """Return what a row of a report names its study by, beside its place."""
    who = name.identifiers
    if who is None:
        return {"key": name.key}
    return {
        "key": name.key,
        "path": who.path,
        "study_instance_uid": who.study_instance_uid,
        "accession_number": who.accession_number,
    }


output_options = group_options(
    "outputs",
    Outputs,
    click.option("--csv", type=FILE, help="CSV to write: a line for each study."),
    click.option("--html", type=FILE, help="Page to write: scores as bars, heat maps, provenance; loads nothing."),
    click.option(
        "--locate",
        "phrases",
        multiple=True,
        metavar="PHRASE",
        help="Draw a heat map of PHRASE in the page; may repeat.",
    ),
    with_identifiers_option,
    click.option(
        "--with-pictures",
        is_flag=True,
        help="Show the radiographs, small, in the page: patient data, with any text that is burned into them.",
    ),
    overwrite_option("files that are"),
)
