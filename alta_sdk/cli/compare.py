"""`alta compare`: a study and an earlier one of the same patient, and the change of each score."""

from functools import partial
from pathlib import Path

import click

from ..matching.results import Comparison
from ..study.comparison import load_pair
from ..study.naming import name_pair
from .label_help import LabelledCommand
from .option_groups import json_option
from .reading import Reading, reading_options, say_notices
from .score import parse_labels
from .site_key import key_file_option, make_namer
from .study_arguments import check_identifiers, with_identifiers_option
from .terminal import fail_in_one_line, print_object, print_table, title_run


@click.command(cls=LabelledCommand)
@click.argument("study", metavar="STUDY", type=click.Path())
@click.argument("prior", metavar="[PRIOR]", required=False, type=click.Path())
@click.option("--labels", required=True, help="Findings separated by commas, or the name of a label set.")
@with_identifiers_option
@key_file_option
@json_option()
@reading_options
@fail_in_one_line
def compare(
    study: str,
    prior: str | None,
    labels: str,
    with_identifiers: bool,
    key_file: str | None,
    as_json: bool,
    reading: Reading,
) -> None:
    """Compare the scores of STUDY with those of PRIOR, an earlier study of the same patient.

    Without PRIOR, STUDY holds several studies of one patient: the latest is compared with the latest
    earlier one that has a usable frontal radiograph. Each study is scored alone and the scores are subtracted;
    `alta progress` asks an engine that reads both radiographs at once. Not for clinical use.
    """
    check_identifiers(with_identifiers, as_json)
    wanted = parse_labels(labels)
    matcher = reading.open_matcher()
    namer = make_namer(key_file, is_needed=as_json, with_identifiers=with_identifiers)
    pair = load_pair(study, prior, partial(reading.read, matcher=matcher))
    comparison = matcher.compare(*pair, wanted)
    before = (f"prior, {note}" for note in comparison.provenance["prior_reading"])
    notes = (*comparison.provenance["prompt_reading"], *comparison.provenance["reading"])
    say_notices(matcher, (*notes, *before))
    if as_json:
        studies = name_pair(namer, (Path(study), pair[0]), (Path(prior or study), pair[1]))
        print_object({"studies": studies, **comparison.as_dict()})
    else:
        show_comparison(comparison)


def show_comparison(comparison: Comparison) -> None:
    """Print one row per label: the score now, before, and the change."""
    origin = comparison.provenance
    rows = [
        [name, f"{comparison.current[name]:.3f}", f"{comparison.prior[name]:.3f}", f"{change:+.3f}"]
        for name, change in comparison.change.items()
    ]
    title = f"{title_run(origin, 'runtime')} of {', '.join(origin['slots'])}"
    print_table(title, ["label", "current", "prior", "change"], rows)
