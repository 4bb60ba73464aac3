"""What fit.py and pretrain.py share: options of a run, reading the table, starting the loop."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from lightning_fabric import Fabric

from alta_sdk.cli.option_groups import PATH
from alta_sdk.cli.terminal import say
from alta_sdk.engine.prompt_words import describe_unknown
from alta_sdk.errors import TrainingError
from alta_sdk.files.targets import refuse_inputs

from ..data.batches import StudyDataset
from ..data.feet import FeetByEpoch
from ..data.needs import Need
from ..data.pixels import PixelReader
from ..data.records import Record, check_records, digest_records, keep_good, read_table
from ..data.sentences import read_wordings, split_sentences
from ..data.teacher import Teacher, read_teacher
from ..data.unknown_words import UNKNOWN_WORDS, count_unknown_words, state_unknown_words
from ..families.backbone import BackboneOptions
from ..families.checkpoint import TextModel
from ..model import AltaModel
from ..model.trainable import TRAINED, count_parameters, freeze_unreached, set_dropout
from ..objectives.alignment import AlignmentObjective
from ..objectives.distillation import Distillation
from ..objectives.reconstruction import Reconstruction
from ..recipe import Recipe
from .feet import prepare_feet
from .files import check_run_folder, open_run_folder
from .loop import RunOptions, Trainer, Validate, open_fabric

NOT_CLINICAL = "Not for clinical use."
TEXT_SIZES = ("text_width", "text_depth", "text_heads", "vocabulary", "max_tokens")


@dataclass(frozen=True)
class TableOptions:
    """Which table to train on, and how to read its radiographs."""

    data: Path
    root: Path | None
    bad_rows: str
    cache: Path | None
    workers: int
    teacher: Path | None = None
    wordings: Path | None = None


@dataclass(frozen=True)
class DeviceOptions:
    """Where to compute; devices and nodes as torchrun was started."""

    device: str
    devices: int
    nodes: int


def add_run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every training command has."""
    for option in reversed(
        (
            click.option("--data", required=True, type=PATH, help="Training table: the published train.csv's columns."),
            click.option("--root", type=PATH, help="Folder that image paths start at. [default: the table's]"),
            click.option("--output", required=True, type=PATH, help="New folder for the run."),
            click.option("--recipe", "recipe_file", type=PATH, help="TOML file. [default: the published recipe]"),
            click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Override a recipe value."),
            click.option(
                "--bad-rows",
                type=click.Choice(["stop", "skip"]),
                default="stop",
                show_default=True,
                help="What to do when rows of the table cannot be used; every one is listed.",
            ),
            click.option("--cache", type=PATH, help="Folder for decoded and resized radiographs."),
            click.option(
                "--workers",
                type=click.IntRange(min=0),
                default=0,
                show_default=True,
                help="Processes that read radiographs.",
            ),
            click.option(
                "--device",
                type=click.Choice(["auto", "cpu", "cuda"]),
                default="auto",
                show_default=True,
                help="Where to compute.",
            ),
            click.option("--devices", type=int, help="Processes on this node. [default: torchrun's, else 1]"),
            click.option("--nodes", type=int, help="Nodes. [default: torchrun's, else 1]"),
            click.option("--resume", is_flag=True, help="Go on with the run in --output."),
            click.option("--save-every", default=0, help="Also save the state every so many steps. [default: epochs]"),
            click.option("--stop-after", default=0, hidden=True),
        )
    ):
        command = option(command)
    return command


def check_output(output: Path, resume: bool, backbone: Path | None) -> None:
    """Refuse an output before anything is read for it: a taken folder, or one whose weights are the backbone."""
    if int(os.environ.get("RANK", 0)):
        return  # the first process of a run may have made the folder by now
    refuse_inputs(output, (backbone,), "run", TrainingError)
    check_run_folder(output, resume)


def read_records(options: TableOptions, reader: PixelReader, needs: frozenset[Need], is_first: bool) -> list[Record]:
    """Read and check the whole table; the first process lists every bad row on standard error."""
    records = read_table(
        options.data, options.root, with_caption=Need.CAPTION in needs, with_findings=Need.LABELS in needs
    )
    bad = check_records(records, lambda path: reader.read(path, with_target=True), max(1, options.workers))
    for row in bad if is_first else ():
        say(f"row {row.row}: {row.problem}")
    return keep_good(records, bad, options.bad_rows, options.data.name)


def count_processes(devices: int | None, nodes: int | None) -> tuple[int, int]:
    """Return devices a node and nodes, asking torchrun's environment for what was not given."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    world = int(os.environ.get("WORLD_SIZE", 1))
    return devices or local, nodes or max(1, world // max(local, 1))


def start_run(
    model: AltaModel,
    recipe: Recipe,
    table: TableOptions,
    device: DeviceOptions,
    run: RunOptions,
    text_model: tuple[TextModel, Path],
    metadata: dict[str, str],
    validate: Validate | None = None,
) -> None:
    """Check the table, open the run's folder and train.

    The model's parameters say by requires_grad which may train; of these the recipe's objectives train what
    they reach.
    """
    fabric = open_fabric(recipe.precision, device.device, device.devices, device.nodes)
    alignment = AlignmentObjective(model, recipe)
    freeze_unreached(model, alignment.trains)
    set_dropout(model.text, recipe.text_dropout)
    reader = PixelReader(recipe.intensity_profile, table.cache)
    records = read_records(table, reader, alignment.needs, fabric.is_global_zero)
    words = count_unknown_words([record.report for record in records], text_model[0])
    feet = _prepare_feet(alignment, recipe, records, reader, table.cache, fabric) if recipe.looks else None
    teacher = _read_teacher(alignment, records, table.teacher)
    patches = model.sizes.image.patches
    wordings = read_wordings(table.wordings) if table.wordings else None
    dataset = StudyDataset(records, recipe, text_model[0], reader, patches, alignment.needs, teacher, feet, wordings)
    if fabric.is_global_zero:
        for note in describe_unknown(words):
            say(note)
        say(f"trains {count_parameters(alignment)} parameters on {len(records)} studies. {NOT_CLINICAL}")
        open_run_folder(run.output, recipe, text_model[1], run.resume)
    fabric.barrier()
    stated = {**metadata, "studies_sha256": digest_records(records), TRAINED: str(count_parameters(alignment))}
    stated[UNKNOWN_WORDS] = state_unknown_words(words)
    trainer = Trainer(fabric, alignment, dataset, recipe, run, stated, validate)
    trainer.run()
    if fabric.is_global_zero:
        say(f"{'finished' if trainer.is_finished else 'stopped; go on with --resume'}: {run.output}")


def _prepare_feet(
    alignment: AlignmentObjective,
    recipe: Recipe,
    records: list[Record],
    reader: PixelReader,
    cache: Path | None,
    fabric: Fabric,
) -> FeetByEpoch:
    if Need.TARGET in alignment.needs:
        raise TrainingError("recipe: looks are not for the reconstruction: set looks=0, or leave it out")
    return prepare_feet(alignment.model, recipe, records, reader, cache, fabric, cls_alone=alignment.cls_alone)


def _read_teacher(alignment: AlignmentObjective, records: list[Record], path: Path | None) -> Teacher | None:
    if Need.TEACHER not in alignment.needs:
        return None
    if path is None:
        raise TrainingError("recipe: a distillation needs a teacher: give --teacher, the table of training/teach.py")
    width = next(one.to_teacher.out_features for one in alignment.active if isinstance(one, Distillation))
    sentences = {sentence for record in records for sentence in split_sentences(record.report)}
    return read_teacher(path, sentences, width)


def refuse_towers(towers: dict[str, object], recipe: Recipe) -> None:
    """Refuse tower sizes in a recipe for alignment: they come from the backbone, but a fresh text tower's."""
    own = TEXT_SIZES if recipe.text_tower == "whole" else ()
    others = [name for name in towers if name not in own]
    if others:
        raise TrainingError(
            f"recipe has {', '.join(others)} in [tower]: sizes come from --backbone; pretrain.py takes them, and "
            f'with text_tower = "whole" fit.py takes {", ".join(TEXT_SIZES)}'
        )


def start_options(recipe: Recipe) -> BackboneOptions:
    """Return what a recipe for alignment puts around a backbone's towers."""
    return BackboneOptions(
        recipe.adapter,
        recipe.adapter_share,
        recipe.seed,
        fresh_text=recipe.text_tower == "whole",
        has_decoder=recipe.objectives[Reconstruction.name].weight > 0,
    )
