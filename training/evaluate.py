"""Measure a checkpoint or an engine by the published protocols, or on a labelled or captioned table."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_object, say
from alta_training.data.captioned import read_captioned
from alta_training.data.labelled import read_labelled
from alta_training.evaluation.baselines import PIXELS, evaluate_baseline, evaluate_frozen
from alta_training.evaluation.encoders import CheckpointEncoder, Encoder, RememberingEncoder, open_encoder
from alta_training.evaluation.metrics import Figures
from alta_training.evaluation.other_hospital import evaluate_pairs, evaluate_shift
from alta_training.evaluation.protocols import RSNA_SETS, evaluate_chexpert5, evaluate_chexpert8, evaluate_rsna
from alta_training.evaluation.towers_encoder import TowersEncoder
from alta_training.evaluation.zero_shot import evaluate_labelled


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
def main(
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


def measure(encoder: Encoder, protocol: str, given: Mapping[str, Any]) -> list[Figures]:
    """Run one protocol; given: the options by name."""
    data, root = given["data"], given["image_root"]
    if protocol == "chexpert5x200":
        return [evaluate_chexpert5(encoder, data, root)]
    if protocol == "chexpert8x200":
        return [evaluate_chexpert8(encoder, data, root)]
    if protocol == "rsna":
        return measure_rsna(encoder, given)
    if protocol == "pairs":
        return measure_pairs(encoder, given)
    return measure_labelled(encoder, given)


def measure_rsna(encoder: Encoder, given: Mapping[str, Any]) -> list[Figures]:
    """Measure pneumonia by the family's pair of prompts, and by its published ensemble if it has one."""
    known = encoder.asking.list_label_sets()
    sets = [name for name in RSNA_SETS if name in known]
    asked = RememberingEncoder(encoder) if len(sets) > 1 else encoder
    run = partial(evaluate_rsna, asked, given["data"], seed=given["seed"])
    return [run(published_threshold=given["published_threshold"], prompts=prompts) for prompts in sets]


def measure_labelled(encoder: Encoder, given: Mapping[str, Any]) -> list[Figures]:
    """Measure a finding of a labelled table and, if asked for, the baselines."""
    read = partial(read_labelled, given["data"], given["image_root"], finding=given["finding"])
    radiographs, seed = read(split=given["split"]), given["seed"]
    figures = [evaluate_labelled(encoder, radiographs, given["finding"], seed=seed)]
    if given["baseline"]:
        train = read(split="train")
        figures.append(evaluate_baseline(train, radiographs, seed=seed))
        if isinstance(encoder, CheckpointEncoder):
            figures.append(evaluate_frozen(encoder, train, radiographs, seed=seed))
        elif isinstance(encoder, TowersEncoder):
            say("no frozen features: this family has no adapters, its features are the published ones")
        else:
            say("no frozen features: an engine's adapters are merged; give the checkpoint for them")
    return figures


def measure_pairs(encoder: Encoder, given: Mapping[str, Any]) -> list[Figures]:
    """Measure retrieval of captions and, if a table of normal radiographs is given, the finding against them."""
    split, finding, seed = given["split"], given["finding"], given["seed"]
    radiographs = read_captioned(given["data"], given["image_root"], split=split)
    figures = [evaluate_pairs(encoder, radiographs, seed=seed)]
    if given["against"]:
        normal = read_labelled(given["against"], split=split, finding=finding)
        figures.append(evaluate_shift(encoder, radiographs, normal, finding, seed=seed))
    return figures


def _show(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
