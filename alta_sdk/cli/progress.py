"""`alta progress`: a study and its prior, read at once, and what became of a finding between them."""

from functools import partial
from pathlib import Path

import click

from ..engine.manifest_content import PRIOR
from ..matching.progression import FINDINGS, TEMPLATES, Progression, check_reads_priors
from ..study.comparison import load_follow_up
from ..study.naming import name_pair
from .option_groups import json_option
from .reading import Reading, reading_options, say_notices
from .site_key import key_file_option, make_namer
from .study_arguments import check_identifiers, with_identifiers_option
from .terminal import fail_in_one_line, print_object, print_table, title_run


@click.command()
@click.argument("study", metavar="STUDY", type=click.Path())
@click.argument("prior", metavar="[PRIOR]", required=False, type=click.Path())
@click.option(
    "--label",
    "labels",
    multiple=True,
    help=f"A finding, such as pleural effusion; may be given again. [default: {', '.join(FINDINGS)}]",
)
@with_identifiers_option
@key_file_option
@json_option('Print one JSON object; of several labels, a list of them under "labels".')
@reading_options
@fail_in_one_line
def progress(
    study: str,
    prior: str | None,
    labels: tuple[str, ...],
    with_identifiers: bool,
    key_file: str | None,
    as_json: bool,
    reading: Reading,
) -> None:
    """Tell whether findings of STUDY are improving, stable or worsening since PRIOR, an earlier study of the patient.

    For engines that read the prior radiograph beside the current one (family biovil-t); `alta compare` subtracts the
    scores of two studies with any engine. Without PRIOR, STUDY holds several studies of one patient: the latest is
    taken with the latest earlier one that has a usable frontal radiograph. Not for clinical use.
    """
    if reading.fusion_mode not in (None, PRIOR):
        raise click.UsageError("progress reads the prior beside the current study: leave --fusion-mode out")
    if any("," in label for label in labels):
        raise click.UsageError("--label is one finding, without commas: give it again for each")
    check_identifiers(with_identifiers, as_json)
    wanted = tuple(dict.fromkeys(labels)) or FINDINGS
    matcher = reading.open_matcher()
    check_reads_priors(matcher.engine.manifest)
    namer = make_namer(key_file, is_needed=as_json, with_identifiers=with_identifiers)
    follow_up = load_follow_up(study, prior, partial(reading.read, matcher=matcher))
    found = [matcher.progression(follow_up, finding) for finding in wanted]
    prompts = (f"{one.finding}, {note}" for one in found for note in one.provenance["prompt_reading"])
    say_notices(matcher, (*prompts, *found[0].provenance["reading"]))
    if as_json:
        sides = (Path(study), follow_up), (Path(prior or study), follow_up.take_prior())
        told = found[0].as_dict() if len(found) == 1 else {"labels": [one.as_dict() for one in found]}
        print_object({"studies": name_pair(namer, *sides), **told})
    else:
        show_progressions(found)


def show_progressions(found: list[Progression]) -> None:
    """Print one row per finding: the share of each course, and the largest."""
    origin = found[0].provenance
    rows = [[one.finding, *(f"{getattr(one, course):.3f}" for course in TEMPLATES), one.top] for one in found]
    title = f"{title_run(origin, 'runtime')} of {', '.join(origin['slots'])}"
    print_table(title, ["label", *TEMPLATES, "largest"], rows)
