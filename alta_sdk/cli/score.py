"""`alta score`: studies in, a score per label out."""

import json
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import click

from ..errors import PromptError, StudyError
from ..matcher import Matcher, Temperature
from ..prompts import Labels
from ..read_ahead import ReadAhead
from ..results import ZeroShotResult
from ..slots import Slot
from ..study import Study, load_study
from ..terminal import fail_in_one_line, print_table, say


@dataclass(frozen=True)
class Scored:
    """What is kept of a study: its pixels are not, so that memory does not grow with the list."""

    result: ZeroShotResult
    explanation: dict[str, Any]
    slots: tuple[Slot, ...]


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
) -> None:
    """Score each STUDY for findings.

    A STUDY is a DICOM file, a folder or a zip of one study, or a frontal JPEG or PNG radiograph. Studies
    are named by their place on the command line, since paths and UIDs may identify a patient. Not for
    clinical use.
    """
    if prior is not None and (len(studies) > 1 or find_prior):
        raise click.UsageError("--prior goes with exactly one STUDY, and not with --find-prior")
    wanted = parse_labels(labels)
    matcher = Matcher(engine, threads=threads, fusion_mode=fusion_mode)
    temperature: Temperature = None if published_protocol else "engine"

    def read(path: str) -> Study:
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

    with closing(read_numbered(studies, read)) as read_studies:
        scored = [
            Scored(matcher.zero_shot(study, wanted, temperature=temperature), study.explain(), study.slots)
            for study in read_studies
        ]
    warn(scored, matcher, find_prior=find_prior)
    show = print_json if as_json else show_scores
    show(scored, explain)


def read_numbered(paths: tuple[str, ...], read: Callable[[str], Study]) -> Generator[Study, None, None]:
    """Read studies ahead of their turn; an error says which of several it was."""
    with ReadAhead(paths, read) as studies:
        for number in range(1, len(paths) + 1):
            try:
                yield next(studies)
            except StudyError as error:
                if len(paths) == 1:
                    raise
                raise type(error)(f"study {number} of {len(paths)}: {error}") from error


def warn(scored: list[Scored], matcher: Matcher, *, find_prior: bool) -> None:
    """Say on standard error what a reader of the scores must know: notices, and what was not used."""
    for notice in matcher.engine.manifest.notices:
        say(notice)
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


def print_json(scored: list[Scored], explain: bool) -> None:
    """Print one JSON object of all results, each with its explanation if that is asked for."""
    objects = [one.result.as_dict() | ({"explanation": one.explanation} if explain else {}) for one in scored]
    click.echo(json.dumps(objects[0] if len(objects) == 1 else {"studies": objects}, indent=1))


def show_scores(scored: list[Scored], explain: bool) -> None:
    """Print one row per label and one column per study, then what decided."""
    results = [one.result for one in scored]
    names = list(results[0].scores)
    columns = ["label", *(f"study {number}" for number in range(1, len(results) + 1))]
    rows = [[name, *(f"{result.scores[name]:.3f}" for result in results)] for name in names]
    origin = results[0].provenance
    title = f"{origin['engine']} · {origin['precision']} · {origin['runtime']} · fusion {origin['fusion_mode']}"
    print_table(title, columns, rows)
    if explain:
        show_explanations([one.explanation for one in scored])


def show_explanations(explanations: list[dict[str, Any]]) -> None:
    """Print a row for each slot that is filled, and one for each kind of thing that was set aside."""
    slots, aside = [], []
    for number, explanation in enumerate(explanations, start=1):
        for slot, choice in explanation["slots"].items():
            source = choice["source"] + "".join(f", against {name}" for name in choice["contradicted_by"])
            slots.append([number, slot, source, choice["confidence"], choice["chosen"], choice["turned"] or "-"])
        aside += [[number, item["part"], item["what"], item["why"], item["count"]] for item in explanation["set_aside"]]
    print_table("What decided", ["study", "slot", "view told by", "confidence", "chosen", "turned"], slots)
    if aside:
        print_table("Set aside", ["study", "part", "what", "why", "count"], aside)
