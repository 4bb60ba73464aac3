"""How a command opens its engine and reads studies: the same options everywhere."""

from collections.abc import Iterable
from dataclasses import dataclass

import click

from ..dicom.files import Source
from ..matching.matcher import Matcher
from ..study.study import Study, load_study
from .auditing import audit_option, open_audit
from .option_groups import COUNT, fusion_mode_option, group_options, threads_option, trust_option
from .terminal import say


@dataclass(frozen=True)
class Reading:
    """The engine, how it runs, and which images it may look at; as without options, where nothing is said."""

    engine: str
    threads: int | None = None
    fusion_mode: str | None = None
    any_body_part: bool = False
    any_view: bool = False
    any_picture: bool = False
    window: int | None = None
    allow_for_processing: bool = False
    trust: str | None = None
    allow_incomplete: bool = False
    audit: str | None = None

    def open_matcher(self) -> Matcher:
        """Open the engine and the audit log; raises what Matcher raises."""
        audit = open_audit(self.audit)
        return Matcher(
            self.engine, threads=self.threads, fusion_mode=self.fusion_mode, trust=self.trust, audit=audit or False
        )

    def read(self, source: Source, matcher: Matcher, *, prior: Source | None = None, find_prior: bool = False) -> Study:
        """Read a study as the engine's intensity profile wants it; raises StudyError, DicomError or ViewError."""
        return load_study(
            source,
            prior=prior,
            find_prior=find_prior,
            intensity_profile=matcher.engine.manifest.intensity_profile,
            any_body_part=self.any_body_part,
            any_view=self.any_view,
            any_picture=self.any_picture,
            window=self.window,
            allow_for_processing=self.allow_for_processing,
            allow_incomplete=self.allow_incomplete,
        )


def say_notices(matcher: Matcher, notes: Iterable[str] = ()) -> None:
    """Say on standard error what a reader of the results must know: of the engine, and of how a study was read."""
    for notice in (*matcher.engine.manifest.notices, *notes):
        say(notice)


prior_option = click.option("--prior", type=click.Path(), help="The earlier study of the same patient.")
find_prior_option = click.option(
    "--find-prior", is_flag=True, help="STUDY holds several studies of one patient: find the prior in it."
)


def check_one_way(prior: Source | None, find_prior: bool) -> None:
    """Raise UsageError if a prior is given and looked for."""
    if prior is not None and find_prior:
        raise click.UsageError("--prior goes without --find-prior")


reading_options = group_options(
    "reading",
    Reading,
    click.option("--engine", required=True, type=click.Path(), help="The engine: a folder NAME.alta."),
    threads_option,
    trust_option,
    fusion_mode_option("How the radiographs of a study become one vector. [default: the engine's]"),
    click.option("--any-body-part", is_flag=True, help="Take images that are not known to show a chest."),
    click.option("--any-view", is_flag=True, help="Take a single image that is not known to be frontal."),
    click.option(
        "--any-picture", is_flag=True, help="Take pictures that cannot be radiographs: of two grey levels, coloured."
    ),
    click.option("--window", type=COUNT, help="The window of the image to apply, for engines of profile voi-v1."),
    click.option("--allow-for-processing", is_flag=True, help="Take raw detector data, too."),
    click.option("--allow-incomplete", is_flag=True, help="Go on where a part of a study cannot be read."),
    audit_option,
)
