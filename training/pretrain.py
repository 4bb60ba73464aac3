"""Pretrain towers by masked record modelling: hidden patches and hidden words, each helped by the other."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

from pathlib import Path
from typing import Any

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line
from alta_training.families.backbone import BackboneOptions, load_backbone
from alta_training.families.checkpoint import read_text_model
from alta_training.objectives.record_modelling import (
    TowerSizes,
    as_pretraining,
    make_model,
    train_backbones,
)
from alta_training.recipe import Recipe, fill_settings
from alta_training.run.loop import RunOptions
from alta_training.run.recipe_files import read_recipe
from alta_training.run.setup import (
    DeviceOptions,
    TableOptions,
    add_run_options,
    check_output,
    count_processes,
    start_run,
)
from alta_training.run.text_folder import open_text_folder


@click.command(cls=Program, context_settings=CONTEXT)
@click.option(
    "--backbone",
    type=PATH,
    help="Go on from MRM.pth or an earlier pretraining. [default: a fresh tower of the recipe's [tower] sizes]",
)
@click.option(
    "--text-model",
    type=PATH,
    help="BERT folder. [default: beside the backbone; without one, a vocabulary is learned from the reports]",
)
@add_run_options
@fail_in_one_line
def main(backbone: Path | None, text_model: Path | None, output: Path, **given: Any) -> None:
    """Pretrain an image tower (and a text tower) of any size on studies with reports.

    Writes OUTPUT/last.safetensors and text-model/, which fit.py --backbone reads. Not for clinical use.
    """
    check_output(output, given["resume"], backbone)
    recipe, towers = read_recipe(given["recipe_file"], given["overrides"])
    recipe = as_pretraining(recipe)
    sizes = fill_settings(TowerSizes(), towers)
    folder = text_model or (backbone.parent / "text-model" if backbone else None)
    resumed = output if given["resume"] else None
    with open_text_folder(folder, resumed, given["data"], given["root"], sizes) as text_folder:
        _pretrain(recipe, sizes, backbone, text_folder, output, given)


def _pretrain(
    recipe: Recipe, sizes: TowerSizes, backbone: Path | None, folder: Path, output: Path, given: dict[str, Any]
) -> None:
    text = read_text_model(folder)
    if backbone:
        model = load_backbone(backbone, folder, text.config, BackboneOptions(recipe.adapter, seed=recipe.seed)).model
    else:
        model = make_model(sizes, recipe.seed, recipe.adapter)
    train_backbones(model)
    devices, nodes = count_processes(given["devices"], given["nodes"])
    start_run(
        model,
        recipe,
        TableOptions(given["data"], given["root"], given["bad_rows"], given["cache"], given["workers"]),
        DeviceOptions(given["device"], devices, nodes),
        RunOptions(output, given["resume"], given["workers"], 1, given["save_every"], given["stop_after"]),
        (text, folder),
        {"notice": "PRETRAINED ONLY: not aligned, the scores mean nothing."},
    )


if __name__ == "__main__":
    main()
