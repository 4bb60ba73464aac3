"""Align by adapters: train ALTA's adapters, heads and norms inside frozen towers."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

import os
from functools import partial
from pathlib import Path
from typing import Any

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line
from alta_sdk.errors import CheckpointError, TrainingError
from alta_training.data.labelled import read_labelled
from alta_training.data.records import read_table
from alta_training.evaluation.prompt_sentences import PROMPT_SENTENCES, state_prompt_sentences
from alta_training.evaluation.validate import ValidationSet, validate_model
from alta_training.families.backbone import load_backbone
from alta_training.families.checkpoint import TextModel, read_checkpoint, read_text_model
from alta_training.model.trainable import freeze_backbones
from alta_training.objectives.record_modelling import TowerSizes
from alta_training.recipe import Recipe, fill_settings
from alta_training.run.loop import RunOptions, Validate
from alta_training.run.recipe_files import read_recipe
from alta_training.run.setup import (
    DeviceOptions,
    TableOptions,
    add_run_options,
    check_output,
    count_processes,
    refuse_towers,
    start_options,
    start_run,
)
from alta_training.run.text_folder import open_text_folder

TABLE_OPTIONS = ("data", "root", "bad_rows", "cache", "workers", "teacher", "wordings")


@click.command(cls=Program, context_settings=CONTEXT)
@click.option("--backbone", required=True, type=PATH, help="MRM.pth, or what pretrain.py wrote.")
@click.option("--text-model", type=PATH, help="BERT folder (CXR-BERT). [default: text-model beside the backbone]")
@add_run_options
@click.option("--teacher", type=PATH, help="Sentence vectors of teach.py, for objectives.distillation.")
@click.option("--wordings", type=PATH, help="As pair.py's, for objectives.label. [default: the project's]")
@click.option("--validation", type=PATH, help="Labelled table: image, patient, view, findings, split.")
@click.option("--validation-split", default="val", show_default=True, help="Its rows to take.")
@click.option("--validation-finding", default="Pneumonia", show_default=True, help="Against No Finding.")
@click.option("--validation-pairs", type=PATH, help="A table like --data, for retrieval.")
@click.option(
    "--validate-every", type=click.IntRange(min=1), default=1, show_default=True, help="Epochs between validations."
)
@click.option("--training-data", help="One line for the model card, kept in the checkpoint.")
@click.option("--licence", help="Of the weights, kept in the checkpoint.")
@click.option("--notice", help="Shown wherever the model is used, kept in the checkpoint.")
@fail_in_one_line
def main(backbone: Path, text_model: Path | None, output: Path, **given: Any) -> None:
    """Train ALTA's adapters on studies with reports.

    The published recipe is the default. Writes OUTPUT/best.safetensors (of the best validation AUC),
    last.safetensors and text-model/, which alta-export reads. Not for clinical use.
    """
    check_output(output, given["resume"], backbone)
    recipe, towers = read_recipe(given["recipe_file"], given["overrides"])
    refuse_towers(towers, recipe)
    if not os.path.isfile(backbone):
        raise CheckpointError(f"backbone {backbone.name} not found: give MRM.pth or what pretrain.py wrote")
    beside = backbone.parent / "text-model"
    # A whole text tower may start fresh, and then with the table's own words.
    folder = text_model or (None if recipe.text_tower == "whole" and not os.path.isdir(beside) else beside)
    resumed = output if given["resume"] else None
    _check_text_folder(backbone, folder or resumed, towers)
    sizes = fill_settings(TowerSizes(), towers)
    with open_text_folder(folder, resumed, given["data"], given["root"], sizes) as text_folder:
        _fit(recipe, backbone, text_folder, output, given)


def _check_text_folder(backbone: Path, folder: Path | None, towers: dict[str, Any]) -> None:
    """Refuse new words for a text tower that has its own, and sizes for one that is there already."""
    has_text = any(name.startswith("bert_encoder.") for name in read_checkpoint(backbone).weights)
    if folder is None and has_text:
        raise CheckpointError(
            f"backbone {backbone.name} has a text tower, and no text-model folder beside it tells its words: give "
            "--text-model"
        )
    if folder is not None and towers and has_text:
        raise TrainingError("recipe has text sizes in [tower], but the backbone has a text tower: leave one out")


def _fit(recipe: Recipe, backbone: Path, folder: Path, output: Path, given: dict[str, Any]) -> None:
    text = read_text_model(folder)
    loaded = load_backbone(backbone, folder, text.config, start_options(recipe))
    freeze_backbones(loaded.model, recipe.image_tower, recipe.text_tower, recipe.image_blocks)
    devices, nodes = count_processes(given["devices"], given["nodes"])
    metadata = {name: given[name] for name in ("training_data", "licence", "notice") if given[name]}
    start_run(
        loaded.model,
        recipe,
        TableOptions(**{name: given[name] for name in TABLE_OPTIONS}),
        DeviceOptions(given["device"], devices, nodes),
        RunOptions(
            output,
            given["resume"],
            given["workers"],
            given["validate_every"],
            given["save_every"],
            given["stop_after"],
        ),
        (text, folder),
        {
            **metadata,
            "backbone_sha256": loaded.source.sha256,
            "intensity_profile": recipe.intensity_profile,
            PROMPT_SENTENCES: state_prompt_sentences(
                given["data"], given["root"], given["validation_finding"], given["validation"]
            ),
        },
        _make_validation(recipe, text, given),
    )


def _make_validation(recipe: Recipe, text: TextModel, given: dict[str, Any]) -> Validate | None:
    if not given["validation"]:
        return None
    radiographs = read_labelled(
        given["validation"], split=given["validation_split"], finding=given["validation_finding"]
    )
    pairs = read_table(given["validation_pairs"]) if given["validation_pairs"] else []
    data = ValidationSet(radiographs, given["validation_finding"], pairs, recipe.intensity_profile)
    return partial(validate_model, text_model=text, data=data)


if __name__ == "__main__":
    main()
