"""Pretrain towers by masked record modelling: hidden patches and hidden words, each helped by the other."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH
from alta_sdk.cli.terminal import fail_in_one_line
from alta_training.data.records import read_table
from alta_training.data.vocabulary import learn_vocabulary, write_bert_folder
from alta_training.families.backbone import load_backbone
from alta_training.families.checkpoint import read_text_model
from alta_training.objectives.record_modelling import (
    TowerSizes,
    as_pretraining,
    make_model,
    make_text_config,
    train_backbones,
)
from alta_training.recipe import Recipe, fill_settings
from alta_training.run.loop import RunOptions
from alta_training.run.recipe_files import read_recipe
from alta_training.run.setup import DeviceOptions, TableOptions, add_run_options, count_processes, start_run


@click.command(context_settings=CONTEXT)
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
    recipe, towers = read_recipe(given["recipe_file"], given["overrides"])
    recipe = as_pretraining(recipe)
    sizes = fill_settings(TowerSizes(), towers)
    folder = text_model or (backbone.parent / "text-model" if backbone else None)
    with ExitStack() as leave:
        if folder is None and given["resume"]:
            folder = output / "text-model"
        elif folder is None:
            folder = Path(leave.enter_context(TemporaryDirectory())) / "text-model"  # the run takes a copy
            reports = [record.report for record in read_table(given["data"], given["root"])]
            write_bert_folder(folder, make_text_config(sizes), learn_vocabulary(reports, sizes.vocabulary))
        _pretrain(recipe, sizes, backbone, folder, output, given)


def _pretrain(
    recipe: Recipe, sizes: TowerSizes, backbone: Path | None, folder: Path, output: Path, given: dict[str, Any]
) -> None:
    text = read_text_model(folder)
    if backbone:
        model = load_backbone(backbone, folder, text.config, adapter=recipe.adapter, seed=recipe.seed).model
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
