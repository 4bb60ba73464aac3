"""`alta compare`: a study and an earlier one of the same patient, and the change of each score."""

import json

import click

from ..matcher import Matcher
from ..results import Comparison
from ..study import load_study
from ..terminal import fail_in_one_line, print_table, say
from .score import parse_labels


@click.command()
@click.argument("study", metavar="STUDY", type=click.Path())
@click.argument("prior", metavar="[PRIOR]", required=False, type=click.Path())
@click.option("--engine", required=True, type=click.Path(), help="The engine: a folder NAME.alta.")
@click.option("--labels", required=True, help="Findings separated by commas, or the name of a label set.")
@click.option(
    "--fusion-mode",
    type=click.Choice(["frontal", "present", "published"]),
    help="How the radiographs of a study become one vector. [default: the engine's]",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads to use. [default: every processor]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@fail_in_one_line
def compare(
    study: str,
    prior: str | None,
    engine: str,
    labels: str,
    fusion_mode: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Compare the scores of STUDY with those of PRIOR, an earlier study of the same patient.

    Without PRIOR, STUDY holds several studies of one patient: the latest is compared with the latest
    earlier one that has a usable frontal radiograph. Not for clinical use.
    """
    wanted = parse_labels(labels)
    matcher = Matcher(engine, threads=threads, fusion_mode=fusion_mode)
    if prior is None:
        profile = matcher.engine.manifest.preprocessing["intensity_profile"]
        both = load_study(study, find_prior=True, intensity_profile=profile)
        comparison = matcher.compare(both, both.take_prior(), wanted)
    else:
        comparison = matcher.compare(study, prior, wanted)
    for notice in matcher.engine.manifest.notices:
        say(notice)
    if as_json:
        click.echo(json.dumps(comparison.as_dict(), indent=1))
    else:
        show_comparison(comparison)


def show_comparison(comparison: Comparison) -> None:
    """Print one row per label: the score now, before, and the change."""
    origin = comparison.provenance
    rows = [
        [name, f"{comparison.current[name]:.3f}", f"{comparison.prior[name]:.3f}", f"{change:+.3f}"]
        for name, change in comparison.change.items()
    ]
    title = f"{origin['engine']} · {origin['runtime']} · fusion {origin['fusion_mode']} of {', '.join(origin['slots'])}"
    print_table(title, ["label", "current", "prior", "change"], rows)
