"""`alta-train publish`: a run's best weights for others: half precision, a card measured on the stored file."""

from pathlib import Path
from typing import Any

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH, overwrite_option
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line, say
from alta_sdk.errors import TrainingError
from alta_sdk.files.targets import refuse_inputs

from .facts import add_fact_options, list_facts
from .packages import need_packages

SPLITS = ("train", "val", "test")  # the baselines of a card are fitted on the first


@click.command(cls=Program, context_settings=CONTEXT)
@click.argument("run", type=PATH)
@click.option(
    "--output", required=True, type=PATH, help="Folder to write: NAME.safetensors, text-model/, README.md, card.json."
)
@click.option("--data", required=True, type=PATH, help="Labelled table: image, patient, view, findings, split.")
@click.option("--finding", default="Pneumonia", show_default=True, help="Against No Finding.")
@click.option("--other-pairs", type=PATH, help="Of other hospitals: image, patient, findings, caption, split.")
@click.option(
    "--statement",
    "statements",
    multiple=True,
    type=PATH,
    help="Markdown for the card's end, as it is; repeatable.",
)
@add_fact_options
@overwrite_option("a published model that is")
@fail_in_one_line
def publish(
    run: Path,
    output: Path,
    data: Path,
    finding: str,
    other_pairs: Path | None,
    statements: tuple[Path, ...],
    overwrite: bool,
    **given: Any,
) -> None:
    """Store the best weights of RUN, a folder of fit, with figures on the val and test splits.

    The last weights are stored if the run had no --validation; the card says which they are. What the run does not
    state for the card is given here.
    """
    refuse_inputs(output, (run, data, other_pairs, *statements), "published model", TrainingError)
    need_packages()
    from ..work.publish import Publication, publish_run

    publication = Publication(run, output, data, finding, other_pairs, statements, overwrite, list_facts(given))
    publish_run(publication)
    say(f"stored: {output}. Not for clinical use.")
