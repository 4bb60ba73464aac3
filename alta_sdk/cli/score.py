"""`alta score`: studies in, a score per label out."""

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import click

from ..errors import PromptError, StudyError
from ..matcher import Matcher, Temperature
from ..prompts import Labels
from ..read_ahead import ReadAhead
from ..report import ReportRow
from ..slots import Slot
from ..study import Study, load_study
from ..study_lists import list_studies
from ..terminal import fail_in_one_line, say, show_progress
from .outputs import Outputs, output_options
from .show_scores import MANY, Failed, Scored, fail_if_any_failed, print_json, show_scores


@click.command()
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True, type=click.Path())
@click.option("--engine", required=True, type=click.Path(), help="The engine: a folder NAME.alta.")
@click.option(
    "--labels",
    required=True,
    help='Findings separated by commas ("pneumonia, pleural effusion"), or the name of a label set (chexpert5, rsna).',
)
@click.option("--prior", type=click.Path(), help="The earlier study of the same patient (with one STUDY).")
@click.option(
    "--find-prior",
    is_flag=True,
    help="A STUDY holds several studies of one patient: score the latest, with the latest earlier one as its prior.",
)
@click.option(
    "--fusion-mode",
    type=click.Choice(["frontal", "present", "published"]),
    help="How the radiographs of a study become one vector. [default: the engine's]",
)
@click.option("--published-protocol", is_flag=True, help="Softmax without the engine's learned temperature.")
@click.option("--any-body-part", is_flag=True, help="Score images that are not known to show a chest.")
@click.option("--any-view", is_flag=True, help="Score a single image that is not known to be frontal.")
@click.option(
    "--window", type=click.IntRange(min=1), help="The window of the image to apply, for engines of profile voi-v1."
)
@click.option("--allow-for-processing", is_flag=True, help="Score raw detector data, too.")
@click.option(
    "--explain", is_flag=True, help="Show which rule put each radiograph into its slot, and what was set aside."
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads to use. [default: every processor]")
@click.option(
    "--json", "as_json", is_flag=True, help='Print one JSON object; with several STUDY, a list of them under "studies".'
)
@output_options
@fail_in_one_line
def score(
    studies: tuple[str, ...],
    engine: str,
    labels: str,
    prior: str | None,
    find_prior: bool,
    fusion_mode: str | None,
    published_protocol: bool,
    any_body_part: bool,
    any_view: bool,
    window: int | None,
    allow_for_processing: bool,
    explain: bool,
    threads: int | None,
    as_json: bool,
    outputs: Outputs,
) -> None:
    """Score each STUDY for findings.

    A STUDY is a DICOM file, a folder or a zip of one study, or a frontal JPEG or PNG radiograph; or a
    folder of studies: each entry is then one, in the order of their names, and one that cannot be read is
    told and passed over (exit code 1). Studies are numbered, since paths and UIDs may identify a patient.
    Not for clinical use.
    """
    if prior is not None and (len(studies) > 1 or find_prior):
        raise click.UsageError("--prior goes with exactly one STUDY, and not with --find-prior")
    outputs.check()
    wanted = parse_labels(labels)
    matcher = Matcher(engine, threads=threads, fusion_mode=fusion_mode)
    temperature: Temperature = None if published_protocol else "engine"

    def read(path: Path) -> Study:
        return load_study(
            path,
            prior=prior,
            find_prior=find_prior,
            intensity_profile=matcher.engine.manifest.preprocessing["intensity_profile"],
            any_body_part=any_body_part,
            any_view=any_view,
            window=window,
            allow_for_processing=allow_for_processing,
        )

    is_whole = prior is not None or find_prior  # then a folder of several studies is one patient's
    paths = [path for given in studies for path in ([Path(given)] if is_whole else list_studies(given))]
    goes_on = outputs.is_asked_for or len(paths) > len(studies)
    results: list[Scored | Failed] = []
    rows: list[ReportRow] = []
    with closing(read_each(paths, read, goes_on=goes_on)) as read_studies:
        for study in show_progress(read_studies, len(paths), "studies") if len(paths) >= MANY else read_studies:
            path = str(paths[len(rows)])
            if isinstance(study, StudyError):
                results.append(Failed(study))
                rows.append(outputs.make_failed_row(study, path))
            else:
                result = matcher.zero_shot(study, wanted, temperature=temperature)
                results.append(Scored(result, study.explain(), study.slots))
                rows.append(outputs.make_row(matcher, study, result, path))
    scored = [one for one in results if isinstance(one, Scored)]
    warn(scored, matcher, find_prior=find_prior)
    outputs.write(rows, dict(scored[0].result.provenance) if scored else {})
    show = print_json if as_json else show_scores
    show(results, explain)
    fail_if_any_failed(results)


def read_each(
    paths: list[Path], read: Callable[[Path], Study], *, goes_on: bool
) -> Generator[Study | StudyError, None, None]:
    """Read studies ahead of their turn. With goes_on one that cannot be read is given as its error, else raised."""
    with ReadAhead(paths, read) as studies:
        for number in range(1, len(paths) + 1):
            try:
                yield next(studies)
            except StudyError as error:
                if goes_on:
                    yield error
                elif len(paths) == 1:
                    raise
                else:
                    raise type(error)(f"study {number} of {len(paths)}: {error}") from error


def warn(scored: list[Scored], matcher: Matcher, *, find_prior: bool) -> None:
    """Say on standard error what a reader of the scores must know: notices, and what was not used."""
    for notice in matcher.engine.manifest.notices:
        say(notice)
    for number, one in enumerate(scored, start=1):
        for note in one.result.provenance["reading"]:
            say(f"study {number}, {note}")
    without = sum(Slot.PRIOR_FRONTAL not in one.slots for one in scored)
    if find_prior and without:
        say(f"no earlier study with a usable frontal radiograph was found for {without} of {len(scored)} studies")
    unused = sum(len(one.slots) > len(one.result.provenance["slots"]) for one in scored)
    if unused:
        say(
            f'fusion mode "{matcher.fusion_mode}" looks at the current frontal radiograph alone: further radiographs '
            f"of {unused} of {len(scored)} studies are not used (--fusion-mode present)"
        )


def parse_labels(text: str) -> Labels:
    """Read --labels: with a comma, names of findings; without, the name of a label set."""
    if "," not in text:
        if not text.strip():
            raise PromptError("no labels given: name at least one finding or a label set")
        return text.strip()
    return [name.strip() for name in text.split(",") if name.strip()]
