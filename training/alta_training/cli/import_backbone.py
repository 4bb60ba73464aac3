"""`alta-train import-backbone`: a backbone for fit of a DINOv2-style ViT that other people trained."""

import os
from pathlib import Path
from typing import Any

import click

from alta_sdk.cli.option_groups import CONTEXT, COUNT, PATH, overwrite_option
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line
from alta_sdk.errors import TrainingError

from .packages import need_packages


@click.command(cls=Program, context_settings=CONTEXT)
@click.argument("source", type=PATH)
@click.option("--output", required=True, type=PATH, help="The .safetensors file to write, for fit --backbone.")
@click.option("--depth", type=COUNT, help="Blocks to take, from the first. [default: all]")
@click.option("--image-heads", type=COUNT, help="Attention heads. [default: the source's word, else 64 units each]")
@click.option("--mean", nargs=3, type=float, help="What the source subtracts from pixels. [default: ImageNet's]")
@click.option("--std", nargs=3, type=float, help="What the source divides them by. [default: ImageNet's]")
@click.option("--radiographs", type=PATH, help="Table to check on. [default: --set-norm's, else synthetic]")
@click.option("--set-norm", type=PATH, help="Table: set the last norm so that CLS of its radiographs is standardised.")
@click.option("--pool", is_flag=True, help="Append a block that adds the mean of all tokens to CLS.")
@click.option("--round-int8", is_flag=True, help="Round the blocks' products to 8 bits, which quarters them in files.")
@click.option("--split", help="Take only rows of this split of the tables.")
@click.option("--source-name", default="", help="What the source is called. [default: the file's name]")
@click.option("--licence", default="", help="What its licence says; stored with the weights.")
@overwrite_option("a file that is")
@fail_in_one_line
def import_backbone(source: Path, output: Path, **given: Any) -> None:
    """Make a backbone of SOURCE: a DINOv2-style ViT as .onnx, in a .whl or .zip, or as .safetensors.

    The tower is compared with the source's own, token by token, before anything is written. Text weights are not
    part of it. Not for clinical use.
    """
    if not os.path.isdir(os.path.dirname(os.path.realpath(output))):
        raise TrainingError(f"--output {output.name}: its parent folder does not exist; make it first")
    if given["split"] and not (given["radiographs"] or given["set_norm"]):
        raise TrainingError("--split is of a table: give --radiographs or --set-norm")
    need_packages()
    from ..work.import_backbone import import_tower

    import_tower(source, output, **given)
