"""What fit and pretrain share: options of a run, reading the table, starting the loop."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from alta_sdk.cli.terminal import say, show_progress
from alta_sdk.engine.prompt_words import describe_unknown
from alta_sdk.errors import TrainingError

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
from .fabric import open_fabric
from .feet import prepare_feet
from .files import open_run_folder
from .loggers import open_loggers
from .loop import RunOptions, Trainer, Validate
from .recipe_files import list_settings
from .trial import try_step

NOT_CLINICAL = "Not for clinical use."


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


@dataclass(frozen=True)
class RunSetup:
    """How a run reads, computes and writes; loggers: by name."""

    table: TableOptions
    device: DeviceOptions
    run: RunOptions
    loggers: tuple[str, ...] = ()


def read_run_options(output: Path, given: Mapping[str, Any]) -> RunSetup:
    """Group the options of a training command, by name; those that a command lacks have their defaults."""
    devices, nodes = count_processes(given["devices"], given["nodes"])
    return RunSetup(
        TableOptions(
            given["data"],
            given["root"],
            given["bad_rows"],
            given["cache"],
            given["workers"],
            given.get("teacher"),
            given.get("wordings"),
        ),
        DeviceOptions(given["device"], devices, nodes),
        RunOptions(
            output,
            given["resume"],
            given["workers"],
            given.get("validate_every", 1),
            given["save_every"],
            given["stop_after"],
            given["dry_run"],
        ),
        given["loggers"],
    )


def read_records(options: TableOptions, reader: PixelReader, needs: frozenset[Need], is_first: bool) -> list[Record]:
    """Read and check the whole table, the first process with a word on how far it is and on every bad row."""
    records = read_table(
        options.data, options.root, with_caption=Need.CAPTION in needs, with_findings=Need.LABELS in needs
    )
    progress = show_progress if is_first else None
    bad = check_records(records, lambda path: reader.read(path, with_target=True), options.workers, progress)
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
    options: RunSetup,
    text_model: tuple[TextModel, Path],
    metadata: Mapping[str, str],
    validate: Validate | None = None,
) -> None:
    """Check the table, open the run's folder and train; a trial opens no folder and computes one step.

    The model's parameters say by requires_grad which may train; of these the recipe's objectives train what
    they reach.
    """
    table, device, run = options.table, options.device, options.run
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
        if not run.is_trial:
            open_run_folder(run.output, recipe, text_model[1], run.resume)
            fabric.loggers.extend(open_loggers(options.loggers, run.output, list_settings(asdict(recipe))))
    fabric.barrier()
    stated = {**metadata, "studies_sha256": digest_records(records), TRAINED: str(count_parameters(alignment))}
    stated[UNKNOWN_WORDS] = state_unknown_words(words)
    _train(Trainer(fabric, alignment, dataset, recipe, run, stated, validate))


def _train(trainer: Trainer) -> None:
    """Run the loop, or a trial of it, and say how it ended."""
    is_first = trainer.fabric.is_global_zero
    if trainer.options.is_trial:
        trial = try_step(trainer)
        if is_first:
            say(str(trial))
        return
    trainer.run()
    if is_first and trainer.is_stale:
        waited = f"{trainer.recipe.patience} validations without a better AUC than {trainer.mark:.3f}"
        say(f"ended early in epoch {trainer.epoch} of {trainer.recipe.epochs}: {waited}")
    if is_first:
        say(f"{'finished' if trainer.is_finished else 'stopped; go on with --resume'}: {trainer.options.output}")


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
        raise TrainingError("recipe: a distillation needs a teacher: give --teacher, the table of alta-train teach")
    width = next(one.to_teacher.out_features for one in alignment.active if isinstance(one, Distillation))
    sentences = {sentence for record in records for sentence in split_sentences(record.report)}
    return read_teacher(path, sentences, width)


def start_options(recipe: Recipe) -> BackboneOptions:
    """Return what a recipe for alignment puts around a backbone's towers."""
    return BackboneOptions(
        recipe.adapter,
        recipe.adapter_share,
        recipe.seed,
        fresh_text=recipe.text_tower == "whole",
        has_decoder=recipe.objectives[Reconstruction.name].weight > 0,
    )
