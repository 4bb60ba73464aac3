"""`alta-train pretrain`: towers by masked record modelling: hidden patches, hidden words, each by the other's help."""

import os
from pathlib import Path
from typing import Any

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line
from alta_sdk.errors import CheckpointError

from ..data.records import read_table
from ..recipes import fill_recipe, read_settings
from ..run.folder import check_output
from .packages import need_packages
from .run_options import add_run_options, prepare_memory


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
def pretrain(backbone: Path | None, text_model: Path | None, output: Path, **given: Any) -> None:
    """Pretrain an image tower (and a text tower) of any size on studies with reports.

    Writes OUTPUT/last.safetensors and text-model/, which fit --backbone reads. Not for clinical use.
    """
    check_output(output, given["resume"], backbone)
    fill_recipe(read_settings(given["recipe_file"], given["overrides"]))
    if backbone is not None and not os.path.isfile(backbone):
        raise CheckpointError(f"backbone {backbone.name} not found: give MRM.pth or what pretrain wrote")
    read_table(given["data"], given["root"])
    need_packages(given["loggers"])
    prepare_memory()
    from ..work.pretrain import pretrain_model

    pretrain_model(backbone, text_model, output, given)
