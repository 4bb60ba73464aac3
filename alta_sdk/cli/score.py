"""`alta score`: studies in, a score per label out."""

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from ..engine.fusion import name_plain_mode
from ..engine.manifest_content import FRONTAL, PRESENT, PRIOR
from ..errors import PromptError, StudyError
from ..matching.matcher import Matcher
from ..matching.prompts import Labels
from ..matching.questions import Temperature
from ..matching.stream import stream_studies
from ..matching.unknown_words import check_prompts
from ..report.run import ReportRow
from ..study.lists import StudyEntry, list_studies
from ..study.slots import Slot
from ..study.study import Study
from .last_steps import take_every_step
from .outputs import Outputs, output_options
from .reading import Reading, reading_options, say_notices
from .show_scores import MANY, Failed, Scored, fail_if_any_failed, name_modes, print_json, show_scores
from .terminal import fail_in_one_line, say, show_progress


@click.command()
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True, type=click.Path())
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
@click.option("--published-protocol", is_flag=True, help="Softmax without the engine's learned temperature.")
@click.option(
    "--explain", is_flag=True, help="Show which rule put each radiograph into its slot, and what was set aside."
)
@click.option(
    "--json", "as_json", is_flag=True, help='Print one JSON object; with several STUDY, a list of them under "studies".'
)
@reading_options
@output_options
@fail_in_one_line
def score(
    studies: tuple[str, ...],
    labels: str,
    prior: str | None,
    find_prior: bool,
    published_protocol: bool,
    explain: bool,
    as_json: bool,
    outputs: Outputs,
    reading: Reading,
) -> None:
    """Score each STUDY for findings.

    A STUDY is a DICOM file, a folder or a zip of one study, or a frontal JPEG or PNG radiograph; or a
    folder of studies: each entry is then one, and DICOM files of one StudyInstanceUID together, by name, and
    one that cannot be read is told and passed over (exit code 1). Studies are numbered, since paths and UIDs
    may identify a patient. Not for clinical use.
    """
    if prior is not None and (len(studies) > 1 or find_prior):
        raise click.UsageError("--prior goes with exactly one STUDY, and not with --find-prior")
    outputs.check((*studies, prior, reading.engine))
    wanted = parse_labels(labels)
    matcher = reading.open_matcher()
    phrases = check_prompts(matcher.engine, outputs.phrases, "phrase")
    temperature: Temperature = None if published_protocol else "engine"

    def read(entry: StudyEntry) -> Study:
        return reading.read(entry.read(), matcher, prior=prior, find_prior=find_prior)

    is_whole = prior is not None or find_prior  # then a folder of several studies is one patient's
    entries = [StudyEntry((Path(given),)) for given in studies] if is_whole else list_studies(*studies)
    goes_on = outputs.is_asked_for or len(entries) > len(studies)
    results: list[Scored | Failed] = []
    rows: list[ReportRow] = []
    with closing(read_each(entries, read, matcher, goes_on=goes_on)) as read_studies:
        for study in show_progress(read_studies, len(entries), "studies") if len(entries) >= MANY else read_studies:
            path = str(entries[len(rows)].paths[0])
            if isinstance(study, StudyError):
                results.append(Failed(study))
                rows.append(outputs.make_failed_row(study, path))
            else:
                result = matcher.zero_shot(study, wanted, temperature=temperature)
                results.append(Scored(result, study.explain(), study.slots))
                rows.append(outputs.make_row(matcher, study, result, path))
    scored = [one for one in results if isinstance(one, Scored)]
    warn(results, matcher, find_prior=find_prior)
    for note in phrases:
        say(note)
    show = print_json if as_json else show_scores
    take_every_step(
        lambda: outputs.write(rows, describe_run(scored, phrases) if scored else {}, matcher.engine.manifest),
        lambda: show(results, explain),
    )
    fail_if_any_failed(results)


def read_each(
    entries: list[StudyEntry], read: Callable[[StudyEntry], Study], matcher: Matcher, *, goes_on: bool
) -> Generator[Study | StudyError, None, None]:
    """Read studies ahead of their turn. With goes_on one that cannot be read is given as its error, else raised."""
    with closing(stream_studies(entries, read, (matcher,))) as studies:
        for number, study in enumerate(studies, start=1):
            if goes_on or not isinstance(study, StudyError):
                yield study
            elif len(entries) == 1:
                raise study
            else:
                raise type(study)(f"study {number} of {len(entries)}: {study}") from study


def warn(results: list[Scored | Failed], matcher: Matcher, *, find_prior: bool) -> None:
    """Say on standard error what a reader of the scores must know: notices, and what was not used."""
    scored = [one for one in results if isinstance(one, Scored)]
    say_notices(matcher, scored[0].result.provenance["prompt_reading"] if scored else ())
    for number, one in enumerate(results, start=1):
        for note in one.result.provenance["reading"] if isinstance(one, Scored) else ():
            say(f"study {number}, {note}")
    without = sum(Slot.PRIOR_FRONTAL not in one.slots for one in scored)
    if find_prior and without:
        say(f"no earlier study with a usable frontal radiograph was found for {without} of {len(scored)} studies")
    unused = sum(len(one.slots) > len(one.result.provenance["slots"]) for one in scored)
    if unused:
        say(
            f'fusion mode "{matcher.fusion_mode}" looks at {say_read_slots(matcher)}: further radiographs '
            f"of {unused} of {len(scored)} studies are not used{say_other_mode(matcher)}"
        )


def say_read_slots(matcher: Matcher) -> str:
    """Name the radiographs that a Matcher's mode reads."""
    if name_plain_mode(matcher.fusion_mode) == FRONTAL:
        return "the current frontal radiograph alone"
    return f"{', '.join(matcher.engine.manifest.slots).replace('_', ' ')} radiographs alone"


def say_other_mode(matcher: Matcher) -> str:
    """Name the mode that reads more, where the engine has it."""
    more = [mode for mode in (PRESENT, PRIOR) if mode in matcher.engine.manifest.fusion_modes]
    return f" (--fusion-mode {more[0]})" if name_plain_mode(matcher.fusion_mode) == FRONTAL and more else ""


def describe_run(scored: list[Scored], notes: list[str]) -> dict[str, Any]:
    """Return the provenance of a report: with every fusion mode, and what is told of the phrases of heat maps."""
    provenance = scored[0].result.provenance
    modes = name_modes(one.result for one in scored)
    return {**provenance, "fusion_mode": modes, "prompt_reading": [*provenance["prompt_reading"], *notes]}


def parse_labels(text: str) -> Labels:
    """Read --labels: with a comma, names of findings; without, the name of a label set."""
    if "," not in text:
        if not text.strip():
            raise PromptError("no labels given: name at least one finding or a label set")
        return text.strip()
    return [name.strip() for name in text.split(",") if name.strip()]
