"""`alta-train evaluate`: measure a checkpoint or an engine by published protocols, or on a table."""

from pathlib import Path
from typing import Any

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_object, say

from .packages import need_packages
from .usage import check_measured


@click.command(cls=Program, context_settings=CONTEXT)
@click.argument("model", type=PATH)
@click.option(
    "--protocol",
    required=True,
    type=click.Choice(["chexpert5x200", "chexpert8x200", "rsna", "labelled", "pairs"]),
    help="What to measure.",
)
@click.option("--data", required=True, type=PATH, help="Its table (5x200, labelled, pairs) or folder (8x200, rsna).")
@click.option("--image-root", type=PATH, help="Folder that image paths start at. [default: the table's]")
@click.option("--text-model", type=PATH, help="Of a checkpoint. [default: text-model beside it]")
@click.option("--image-heads", type=click.IntRange(min=1), help="Of a checkpoint that does not state them.")
@click.option("--text-heads", type=click.IntRange(min=1), help="Of a CLIP that does not state them.")
@click.option("--tokenizer", type=PATH, help="CheXzero, CLIP: bpe_simple_vocab_16e6.txt.gz. [default: beside it]")
@click.option(
    "--preprocessing",
    type=click.Choice(["chexzero", "openai"]),
    help="CheXzero, CLIP: whose pixels it reads, where the file does not tell.",
)
@click.option("--published-threshold", is_flag=True, help="rsna: choose the threshold inside the test set.")
@click.option("--split", default="test", show_default=True, help="labelled, pairs: rows to take.")
@click.option("--finding", default="Pneumonia", show_default=True, help="labelled, pairs: against No Finding.")
@click.option("--baseline", is_flag=True, help="labelled: also fit the baselines on the train split.")
@click.option("--against", type=PATH, help="pairs: labelled table with No Finding radiographs for the finding's AUC.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@fail_in_one_line
def evaluate(
    model: Path,
    protocol: str,
    text_model: Path | None,
    image_heads: int | None,
    text_heads: int | None,
    tokenizer: Path | None,
    preprocessing: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure MODEL, a checkpoint of any family or an engine (.alta), in frontal mode."""
    check_measured(model, protocol, given)
    need_packages()
    from ..evaluation.baselines import PIXELS
    from ..evaluation.encoders import open_encoder
    from ..work.evaluate import measure

    encoder = open_encoder(
        model, text_model, image_heads, tokenizer=tokenizer, text_heads=text_heads, preprocessing=preprocessing
    )
    figures = measure(encoder, protocol, given)
    data = given["data"].name
    if as_json:
        print_object({"model": encoder.name, "data": data, "figures": figures})
    else:
        for part in figures:
            title = f"{part['protocol']} · {encoder.name if part['protocol'] != PIXELS else 'pixels'} · {data}"
            facts = [(name, _show(value)) for name, value in part.items() if name != "protocol"]
            print_facts(title, facts)
    say("Not for clinical use.")


def _show(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
