"""Fit: the backbone's towers, adapters in them, the validation, and a run of them on the table."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from alta_sdk.errors import CheckpointError, TrainingError

from ..data.labelled import LabelledRadiograph
from ..data.records import read_table
from ..evaluation.prompt_sentences import PROMPT_SENTENCES, state_prompt_sentences
from ..evaluation.validate import ValidationSet, validate_model
from ..families.backbone import load_backbone
from ..families.checkpoint import TextModel, read_checkpoint, read_text_model
from ..model.trainable import freeze_backbones
from ..objectives.record_modelling import TowerSizes
from ..recipe import Recipe, fill_settings
from ..run.loop import Validate
from ..run.recipe_files import read_recipe
from ..run.setup import read_run_options, start_options, start_run
from ..run.text_folder import open_text_folder


def fit_model(
    backbone: Path,
    text_model: Path | None,
    output: Path,
    given: Mapping[str, Any],
    facts: Mapping[str, str],
    validation: Sequence[LabelledRadiograph] | None,
) -> None:
    """Train ALTA's adapters as the options by name say; facts: of the model card, kept in the checkpoint.

    Raises AltaError for whatever cannot be read or trained.
    """
    recipe, towers = read_recipe(given["recipe_file"], given["overrides"])
    beside = backbone.parent / "text-model"
    # A whole text tower may start fresh, and then with the table's own words.
    folder = text_model or (None if recipe.text_tower == "whole" and not os.path.isdir(beside) else beside)
    resumed = output if given["resume"] else None
    _check_text_folder(backbone, folder or resumed, towers)
    sizes = fill_settings(TowerSizes(), towers)
    with open_text_folder(folder, resumed, given["data"], given["root"], sizes) as text_folder:
        _fit(recipe, backbone, text_folder, output, given, facts, validation)


def _check_text_folder(backbone: Path, folder: Path | None, towers: Mapping[str, Any]) -> None:
    """Refuse new words for a text tower that has its own, and sizes for one that is there already."""
    has_text = any(name.startswith("bert_encoder.") for name in read_checkpoint(backbone).weights)
    if folder is None and has_text:
        raise CheckpointError(
            f"backbone {backbone.name} has a text tower, and no text-model folder beside it tells its words: give "
            "--text-model"
        )
    if folder is not None and towers and has_text:
        raise TrainingError("recipe has text sizes in [tower], but the backbone has a text tower: leave one out")


def _fit(
    recipe: Recipe,
    backbone: Path,
    folder: Path,
    output: Path,
    given: Mapping[str, Any],
    facts: Mapping[str, str],
    validation: Sequence[LabelledRadiograph] | None,
) -> None:
    text = read_text_model(folder)
    loaded = load_backbone(backbone, folder, text.config, start_options(recipe))
    freeze_backbones(loaded.model, recipe.image_tower, recipe.text_tower, recipe.image_blocks)
    stated = {
        **facts,
        "backbone_sha256": loaded.source.sha256,
        "intensity_profile": recipe.intensity_profile,
        PROMPT_SENTENCES: state_prompt_sentences(
            given["data"], given["root"], given["validation_finding"], given["validation"]
        ),
    }
    validate = _make_validation(recipe, text, given, validation)
    start_run(loaded.model, recipe, read_run_options(output, given), (text, folder), stated, validate)


def _make_validation(
    recipe: Recipe, text: TextModel, given: Mapping[str, Any], radiographs: Sequence[LabelledRadiograph] | None
) -> Validate | None:
    if radiographs is None:
        return None
    pairs = read_table(given["validation_pairs"]) if given["validation_pairs"] else []
    data = ValidationSet(radiographs, given["validation_finding"], pairs, recipe.intensity_profile)
    return partial(validate_model, text_model=text, data=data)
