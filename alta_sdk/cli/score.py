"""`alta score`: studies in, a score per label out."""

import json

import click

from ..errors import PromptError, StudyError
from ..matcher import Matcher, Temperature
from ..prompts import Labels
from ..results import ZeroShotResult
from ..study import Study, load_study
from ..terminal import fail_in_one_line, print_table, say


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
    fusion_mode: str | None,
    published_protocol: bool,
    any_body_part: bool,
    any_view: bool,
    window: int | None,
    allow_for_processing: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    """Score each STUDY for findings.

    A STUDY is a DICOM file, a folder or a zip of one study, or a frontal JPEG or PNG radiograph. Studies
    are named by their place on the command line, since paths and UIDs may identify a patient. Not for
    clinical use.
    """
    if prior is not None and len(studies) > 1:
        raise click.UsageError("--prior goes with exactly one STUDY")
    wanted = parse_labels(labels)
    matcher = Matcher(engine, threads=threads, fusion_mode=fusion_mode)

    options = {
        "intensity_profile": matcher.engine.manifest.preprocessing["intensity_profile"],
        "any_body_part": any_body_part,
        "any_view": any_view,
        "window": window,
        "allow_for_processing": allow_for_processing,
    }

    def read(path: str) -> Study:
        return load_study(path, **options) if prior is None else Study.from_dicom(path, prior, **options)

    temperature: Temperature = None if published_protocol else "engine"
    results = []
    for number, path in enumerate(studies, start=1):
        try:
            results.append(matcher.zero_shot(read(path), wanted, temperature=temperature))
        except StudyError as error:
            if len(studies) == 1:
                raise
            raise type(error)(f"study {number} of {len(studies)}: {error}") from error
    for notice in matcher.engine.manifest.notices:
        say(notice)
    if as_json:
        objects = [result.as_dict() for result in results]
        click.echo(json.dumps(objects[0] if len(objects) == 1 else {"studies": objects}, indent=1))
    else:
        show_scores(results)


def parse_labels(text: str) -> Labels:
    """Read --labels: with a comma, names of findings; without, the name of a label set."""
    if "," not in text:
        if not text.strip():
            raise PromptError("no labels given: name at least one finding or a label set")
        return text.strip()
    return [name.strip() for name in text.split(",") if name.strip()]


def show_scores(results: list[ZeroShotResult]) -> None:
    """Print one row per label and one column per study."""
    names = list(results[0].scores)
    columns = ["label", *(f"study {number}" for number in range(1, len(results) + 1))]
    rows = [[name, *(f"{result.scores[name]:.3f}" for result in results)] for name in names]
    origin = results[0].provenance
    title = f"{origin['engine']} · {origin['precision']} · {origin['runtime']} · fusion {origin['fusion_mode']}"
    print_table(title, columns, rows)
