"""`alta score`: studies in, a score per label out."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from ..dicom.files import StudyFiles
from ..engine.fusion import name_plain_mode
from ..engine.manifest_content import FRONTAL, PRESENT, PRIOR
from ..errors import PromptError, StudyError
from ..matching.audit_log import about, note_refused
from ..matching.matcher import Matcher
from ..matching.prompts import Labels
from ..matching.questions import Temperature
from ..matching.stream import stream_studies
from ..matching.unknown_words import check_prompts
from ..report.run import ReportRow
from ..study.lists import StudyEntry, list_studies
from ..study.naming import Failure, StudyName, StudyNamer
from ..study.slots import Slot
from ..study.study import Study
from .label_help import LabelledCommand
from .last_steps import take_every_step
from .outputs import Outputs, output_options
from .reading import Reading, reading_options, say_notices
from .show_scores import MANY, Failed, Scored, fail_if_any_failed, name_modes, print_json, show_scores
from .site_key import key_file_option, make_namer
from .study_arguments import expand_studies
from .terminal import fail_in_one_line, say, show_progress


@click.command(cls=LabelledCommand)
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--labels",
    required=True,
    help='Findings separated by commas ("pneumonia, pleural effusion"), or the name of a label set (chexpert5, rsna): '
    "--help with --engine lists those of an engine.",
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
@key_file_option
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
    key_file: str | None,
    outputs: Outputs,
    reading: Reading,
) -> None:
    """Score each STUDY for findings.

    A STUDY is a DICOM file, a folder or a zip of one study, or a frontal JPEG or PNG radiograph; or a
    folder of studies: each entry is then one, and DICOM files of one StudyInstanceUID together, by name, and
    one that cannot be read is told and passed over (exit code 1). - takes paths from standard input, @FILE from a file,
    one a line. Studies are named by number and, in files and --json, by a keyed hash, since paths and UIDs may identify
    a patient. Not for clinical use.
    """
    studies, lists = expand_studies(studies)
    if prior is not None and (len(studies) > 1 or find_prior):
        raise click.UsageError("--prior goes with exactly one STUDY, and not with --find-prior")
    outputs.check((*studies, *lists, prior, key_file, reading.engine), as_json=as_json)
    wanted = parse_labels(labels)
    matcher = reading.open_matcher()
    phrases = check_prompts(matcher.engine, outputs.phrases, "phrase")
    temperature: Temperature = None if published_protocol else "engine"
    is_named = outputs.is_asked_for or as_json or matcher.audit is not None
    namer = make_namer(key_file, is_needed=is_named, with_identifiers=outputs.with_identifiers)

    def read(source: StudyFiles) -> Study:
        return reading.read(source, matcher, prior=prior, find_prior=find_prior)

    is_whole = prior is not None or find_prior  # then a folder of several studies is one patient's
    entries = [StudyEntry((Path(one),)) for one in studies] if is_whole else list_studies(*studies, goes_on=True)
    results: list[Scored | Failed] = []
    rows: list[ReportRow] = []
    lone_failure: StudyError | None = None
    with closing(read_each(entries, read, matcher, namer)) as found:
        for name, study in show_progress(found, len(entries), "studies") if len(entries) >= MANY else found:
            with about(matcher.audit, name.key):
                if isinstance(study, StudyError):
                    lone_failure = study if len(entries) == 1 and not outputs.is_asked_for else None
                    results.append(Failed(name, Failure.of(study)))
                    note_refused(matcher.audit, type(study).__name__)
                    rows.append(outputs.make_failed_row(Failure.of(study), name))
                else:
                    result = matcher.zero_shot(study, wanted, temperature=temperature)
                    results.append(Scored(name, result, study.explain(), study.slots))
                    rows.append(outputs.make_row(matcher, study, result, name))
    scored = [one for one in results if isinstance(one, Scored)]
    if lone_failure is None:
        warn(results, matcher, phrases, find_prior=find_prior)
    show = print_json if as_json else show_scores
    take_every_step(
        lambda: outputs.write(rows, describe_run(scored, phrases) if scored else {}, matcher.engine, wanted),
        lambda: show(results, explain),
    )
    if lone_failure is not None:
        raise lone_failure
    fail_if_any_failed(results)


def read_each(
    entries: list[StudyEntry], read: Callable[[StudyFiles], Study], matcher: Matcher, namer: StudyNamer
) -> Generator[tuple[StudyName, Study | StudyError], None, None]:
    """Read studies ahead of their turn, and name them; one that cannot be read is given as its error."""

    def read_one(numbered: tuple[int, StudyEntry]) -> tuple[StudyName, Study | StudyError]:
        number, entry = numbered
        files, path = None, entry.paths[0]
        try:
            files = entry.read()
            study = read(files)
        except StudyError as error:
            return namer.name(number, path, files), error
        return namer.name(number, path, files, study), study

    def find_study(one: object, _: object) -> Study | None:
        return one[1] if isinstance(one, tuple) and isinstance(one[1], Study) else None

    with closing(stream_studies(enumerate(entries, start=1), read_one, (matcher,), find_study)) as found:
        for one in found:
            if isinstance(one, StudyError):  # for mypy: `read_one` keeps them
                raise one
            yield one


def warn(
    results: list[Scored | Failed], matcher: Matcher, phrases: Sequence[str] = (), *, find_prior: bool = False
) -> None:
    """Say on standard error what a reader of the scores must know: notices, what was not used, notes of phrases."""
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
    for note in phrases:
        say(note)


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
