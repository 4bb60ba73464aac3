"""Import a backbone: a source read and folded into one of ours, checked against the source, and written."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from alta_sdk.cli.terminal import say, show_progress
from alta_sdk.errors import TrainingError
from alta_sdk.files.targets import check_target

from ..data.radiographs import RadiographFiles, list_radiographs
from ..families.dinov2 import append_pooling, fold_tower, is_backbone, set_last_norm, write_backbone
from ..families.dinov2_check import check_tower, make_synthetic_radiographs
from ..families.dinov2_sources import (
    InputStatistics,
    Source,
    describe_source,
    make_statistics,
    read_source,
)
from ..families.storage import round_products

CHECKED = 8
SEED = 0
Three = tuple[float, float, float]


def import_tower(
    source: Path,
    output: Path,
    *,
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
    """Make a backbone of a source as the options by name say. Raises AltaError for what does not fit or compare."""
    read = (source, radiographs, set_norm)
    check_target(output, "backbone", overwrite=overwrite, is_ours=is_backbone, inputs=read, error=TrainingError)
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
