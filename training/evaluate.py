"""Measure a checkpoint or an engine by the published protocols, or on a labelled table."""

import json
from pathlib import Path

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, say
from alta_training.data.labelled import read_labelled
from alta_training.evaluation.baselines import PIXELS, evaluate_baseline, evaluate_frozen
from alta_training.evaluation.encoders import CheckpointEncoder, open_encoder
from alta_training.evaluation.metrics import Figures
from alta_training.evaluation.protocols import evaluate_chexpert5, evaluate_chexpert8, evaluate_rsna
from alta_training.evaluation.zero_shot import evaluate_labelled


@click.command(context_settings=CONTEXT)
@click.argument("model", type=PATH)
@click.option(
    "--protocol",
    required=True,
    type=click.Choice(["chexpert5x200", "chexpert8x200", "rsna", "labelled"]),
    help="What to measure.",
)
@click.option("--data", required=True, type=PATH, help="Its table (5x200, labelled) or folder (8x200, rsna).")
@click.option("--image-root", type=PATH, help="Folder that image paths start at. [default: the table's]")
@click.option("--text-model", type=PATH, help="Of a checkpoint. [default: text-model beside it]")
@click.option("--image-heads", type=click.IntRange(min=1), help="Of a checkpoint that does not state them.")
@click.option("--published-threshold", is_flag=True, help="rsna: choose the threshold inside the test set.")
@click.option("--split", default="test", show_default=True, help="labelled: rows to take.")
@click.option("--finding", default="Pneumonia", show_default=True, help="labelled: against No Finding.")
@click.option("--baseline", is_flag=True, help="labelled: also fit the baselines on the train split.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@fail_in_one_line
def main(
    model: Path,
    protocol: str,
    data: Path,
    image_root: Path | None,
    text_model: Path | None,
    image_heads: int | None,
    published_threshold: bool,
    split: str,
    finding: str,
    baseline: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Measure MODEL, a checkpoint (.pth, .safetensors) or an engine (.alta), in frontal mode."""
    encoder = open_encoder(model, text_model, image_heads)
    figures: list[Figures] = []
    if protocol == "chexpert5x200":
        figures.append(evaluate_chexpert5(encoder, data, image_root))
    elif protocol == "chexpert8x200":
        figures.append(evaluate_chexpert8(encoder, data, image_root))
    elif protocol == "rsna":
        figures.append(evaluate_rsna(encoder, data, published_threshold=published_threshold, seed=seed))
    else:
        radiographs = read_labelled(data, image_root, split=split, finding=finding)
        figures.append(evaluate_labelled(encoder, radiographs, finding, seed=seed))
        if baseline:
            train = read_labelled(data, image_root, split="train", finding=finding)
            figures.append(evaluate_baseline(train, radiographs, seed=seed))
            if isinstance(encoder, CheckpointEncoder):
                figures.append(evaluate_frozen(encoder, train, radiographs, seed=seed))
            else:
                say("no frozen features: an engine's adapters are merged; give the checkpoint for them")
    if as_json:
        click.echo(json.dumps({"model": encoder.name, "data": data.name, "figures": figures}))
    else:
        for part in figures:
            measured = "pixels" if part["protocol"] == PIXELS else encoder.name
            title = f"{part['protocol']} · {measured} · {data.name}"
            facts = [(name, _show(value)) for name, value in part.items() if name != "protocol"]
            print_facts(title, facts)
    say("Not for clinical use.")


def _show(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
