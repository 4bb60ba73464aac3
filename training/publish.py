"""Store a run's best weights for others: half precision, with a model card measured on the stored file."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch

from alta_sdk.cli.option_groups import CONTEXT, PATH, overwrite_option
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line, say
from alta_sdk.dicom.intensity import PUBLISHED
from alta_sdk.errors import TrainingError
from alta_sdk.files.folders import check_folder, new_folder
from alta_sdk.files.opening import read_text
from alta_sdk.files.spelling import spell
from alta_sdk.files.targets import refuse_inputs
from alta_training.evaluation.card_figures import SplitFigures, measure_other_hospital, measure_splits
from alta_training.evaluation.card_files import CARD_FILES, write_card
from alta_training.evaluation.card_sections import spell_interval
from alta_training.evaluation.encoders import CheckpointEncoder
from alta_training.evaluation.model_card import CardFacts
from alta_training.families.checkpoint import (
    Checkpoint,
    load_model,
    read_checkpoint,
    read_text_model,
    save_checkpoint,
)
from alta_training.families.statements import read_statements
from alta_training.model.trainable import freeze_backbones
from alta_training.run.files import METRICS, TEXT_MODEL_FILES, copy_text_model

STATED = ("notice", "training_data", "licence")
BEST, LAST = "best.safetensors", "last.safetensors"
TEXT_MODEL = "text-model"


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
@overwrite_option("a published model that is")
@fail_in_one_line
def main(
    run: Path,
    output: Path,
    data: Path,
    finding: str,
    other_pairs: Path | None,
    statements: tuple[Path, ...],
    overwrite: bool,
) -> None:
    """Store the best weights of RUN, a folder of fit.py, with figures on the val and test splits.

    The last weights are stored if the run had no --validation; the card says which they are.
    """
    list_own = partial(list_published, name=output.name)
    refuse_inputs(output, (run, data, other_pairs, *statements), "published model", TrainingError)
    check_folder(output, overwrite=overwrite, list_own=list_own, by="publish.py", error=TrainingError)
    appended = [read_statement(path) for path in statements]
    weights = run / BEST if os.path.isfile(run / BEST) else run / LAST
    kept = read_run(weights)
    text_model = read_text_model(run / TEXT_MODEL)
    curve = read_curve(run / METRICS)
    with new_folder(output, overwrite=overwrite, list_own=list_own) as folder:
        copy_text_model(run / "text-model", folder / TEXT_MODEL)
        file = folder / f"{output.name}.safetensors"
        save_checkpoint(load_model(kept, text_model), file, kept.metadata, torch.float16)
        stored = read_checkpoint(file)
        model = load_model(stored, text_model)  # what is measured is what others get
        profile = stored.metadata.get("intensity_profile", PUBLISHED)
        encoder = CheckpointEncoder(model, text_model, output.name, profile)
        splits = [show_split(split) for split in measure_splits(encoder, data, finding)]
        other = measure_other_hospital(encoder, other_pairs, data, finding) if other_pairs else None
        facts = CardFacts(
            name=output.name,
            stated={name: spell(text) for name, text in stored.metadata.items()},
            finding=finding,
            table=data.parent.name,
            trained=str(freeze_backbones(model)),
            size_bytes=file.stat().st_size,
            number_format=", ".join(stored.formats),
            sizes=model.sizes.describe(),
            is_validated=weights.name == BEST,
            weights_sha256=stored.sha256,
        )
        write_card(folder, facts, splits, curve, other, appended)
    say(f"stored: {output}. Not for clinical use.")


def list_published(folder: Path, name: str) -> set[str]:
    """Return the files of a model that was published as `name`; none if the folder is no such model."""
    weights = f"{name}.safetensors"
    if not set(STATED) <= read_statements(folder / weights).keys():
        return set()
    return {weights, *CARD_FILES, *(f"{TEXT_MODEL}/{file}" for file in TEXT_MODEL_FILES)}


def read_run(weights: Path) -> Checkpoint:
    """Read a run's weights; raise TrainingError if there are none, or they lack a statement that a card needs."""
    if not os.path.isfile(weights):
        raise TrainingError(f"{weights.parent.name} has no {BEST} and no {LAST}: give a folder of fit.py")
    kept = read_checkpoint(weights)
    lacking = [name for name in STATED if name not in kept.metadata]
    if lacking:
        raise TrainingError(f"the run does not state its {', '.join(lacking)}: give them to fit.py")
    return kept


def read_statement(path: Path) -> str:
    """Read a section for the card; raise TrainingError if it cannot be read, or has no heading of its own."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"statement {path.name} cannot be read: give a Markdown file in UTF-8") from error
    if not text.lstrip().startswith("## "):
        raise TrainingError(f"statement {path.name} has no heading: begin it with “## ” and a title")
    return text


def read_curve(path: Path) -> list[dict[str, Any]]:
    """Read the validation figures of a run, epoch by epoch; raise TrainingError if the file is none of fit.py's."""
    try:
        lines = [json.loads(line) for line in read_text(path).splitlines()]
        return [line for line in lines if line["kind"] == "validation"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path.name} cannot be read: give a folder of fit.py, whole") from error


def show_split(split: SplitFigures) -> SplitFigures:
    """Print what was measured on a split, and pass it on."""
    own = spell_interval(split.model, "auc")
    beside = f"pixel baseline {split.pixels['auc']:.3f}; frozen features {split.frozen['auc']:.3f}"
    say(f"{split.split}: AUC {own}; {beside}")
    return split


if __name__ == "__main__":
    main()
