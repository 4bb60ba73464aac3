"""Pretrain: fresh towers, or a backbone's, and a run of masked record modelling on the table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..families.backbone import BackboneOptions, load_backbone
from ..families.checkpoint import read_text_model
from ..objectives.record_modelling import TowerSizes, as_pretraining, make_model, train_backbones
from ..recipe import Recipe, fill_settings
from ..run.recipe_files import read_recipe
from ..run.setup import read_run_options, start_run
from ..run.text_folder import open_text_folder


def pretrain_model(backbone: Path | None, text_model: Path | None, output: Path, given: Mapping[str, Any]) -> None:
    """Pretrain towers as the options by name say. Raises AltaError for whatever cannot be read or trained."""
    recipe, towers = read_recipe(given["recipe_file"], given["overrides"])
    recipe = as_pretraining(recipe)
    sizes = fill_settings(TowerSizes(), towers)
    folder = text_model or (backbone.parent / "text-model" if backbone else None)
    resumed = output if given["resume"] else None
    with open_text_folder(folder, resumed, given["data"], given["root"], sizes) as text_folder:
        _pretrain(recipe, sizes, backbone, text_folder, output, given)


def _pretrain(
    recipe: Recipe, sizes: TowerSizes, backbone: Path | None, folder: Path, output: Path, given: Mapping[str, Any]
) -> None:
    text = read_text_model(folder)
    if backbone:
        model = load_backbone(backbone, folder, text.config, BackboneOptions(recipe.adapter, seed=recipe.seed)).model
    else:
        model = make_model(sizes, recipe.seed, recipe.adapter)
    train_backbones(model)
    notice = {"notice": "PRETRAINED ONLY: not aligned, the scores mean nothing."}
    start_run(model, recipe, read_run_options(output, given), (text, folder), notice)
