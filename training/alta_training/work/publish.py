"""Publish: a run's weights in half precision, measured as they are stored, and the card of that."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from alta_sdk.cli.terminal import say
from alta_sdk.dicom.intensity import PUBLISHED
from alta_sdk.errors import TrainingError
from alta_sdk.files.folders import check_folder, new_folder
from alta_sdk.files.opening import read_text
from alta_sdk.files.spelling import spell

from ..data.labelled import read_labelled
from ..evaluation.card_figures import SPLITS, SplitFigures, measure_other_hospital, measure_splits
from ..evaluation.card_files import CARD_FILES, write_card
from ..evaluation.card_sections import spell_interval
from ..evaluation.encoders import CheckpointEncoder
from ..evaluation.model_card import CardFacts
from ..families.checkpoint import (
    Checkpoint,
    load_model,
    read_checkpoint,
    read_text_model,
    save_checkpoint,
)
from ..families.statements import read_statements
from ..model.trainable import freeze_backbones
from ..run.files import TEXT_MODEL_FILES, copy_text_model
from ..run.folder import METRICS

STATED = ("notice", "training_data", "licence")
CARD_SPLITS = ("train", *SPLITS)
BY = "alta-train publish"
BEST, LAST = "best.safetensors", "last.safetensors"
TEXT_MODEL = "text-model"


@dataclass(frozen=True)
class Publication:
    """What is published, and where to; facts: of the card, by name, for a run that does not state them."""

    run: Path
    output: Path
    data: Path
    finding: str
    other_pairs: Path | None
    statements: tuple[Path, ...] = ()
    overwrite: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)


def publish_run(given: Publication) -> None:
    """Store a run's weights and their card as a folder, whole or not at all; raise AltaError for what is lacking."""
    list_own = partial(list_published, name=given.output.name)
    check_folder(given.output, overwrite=given.overwrite, list_own=list_own, by=BY, error=TrainingError)
    appended = [read_statement(path) for path in given.statements]
    weights = given.run / BEST if os.path.isfile(given.run / BEST) else given.run / LAST
    kept = read_run(weights, given.facts)
    text_model = read_text_model(given.run / TEXT_MODEL)
    curve = read_curve(given.run / METRICS)
    for split in CARD_SPLITS:  # before minutes are spent on one
        read_labelled(given.data, split=split, finding=given.finding)
    with new_folder(given.output, overwrite=given.overwrite, list_own=list_own) as folder:
        copy_text_model(given.run / TEXT_MODEL, folder / TEXT_MODEL)
        file = folder / f"{given.output.name}.safetensors"
        save_checkpoint(load_model(kept, text_model), file, kept.metadata, torch.float16)
        stored = read_checkpoint(file)
        model = load_model(stored, text_model)  # what is measured is what others get
        profile = stored.metadata.get("intensity_profile", PUBLISHED)
        encoder = CheckpointEncoder(model, text_model, given.output.name, profile)
        splits = [show_split(split) for split in measure_splits(encoder, given.data, given.finding)]
        other = None
        if given.other_pairs:
            other = measure_other_hospital(encoder, given.other_pairs, given.data, given.finding)
        facts = CardFacts(
            name=given.output.name,
            stated={name: spell(text) for name, text in stored.metadata.items()},
            finding=given.finding,
            table=given.data.parent.name,
            trained=str(freeze_backbones(model)),
            size_bytes=file.stat().st_size,
            number_format=", ".join(stored.formats),
            sizes=model.sizes.describe(),
            is_validated=weights.name == BEST,
            weights_sha256=stored.sha256,
        )
        write_card(folder, facts, splits, curve, other, appended)


def list_published(folder: Path, name: str) -> set[str]:
    """Return the files of a model that was published as `name`; none if the folder is no such model."""
    weights = f"{name}.safetensors"
    if not set(STATED) <= read_statements(folder / weights).keys():
        return set()
    return {weights, *CARD_FILES, *(f"{TEXT_MODEL}/{file}" for file in TEXT_MODEL_FILES)}


def read_run(weights: Path, facts: Mapping[str, str]) -> Checkpoint:
    """Read a run's weights, with facts for what the run does not state.

    Raises TrainingError if there are none, or a statement that a card needs is lacking or given twice.
    """
    if not os.path.isfile(weights):
        raise TrainingError(f"{weights.parent.name} has no {BEST} and no {LAST}: give a folder of alta-train fit")
    kept = read_checkpoint(weights)
    twice = [name for name in facts if kept.metadata.get(name, facts[name]) != facts[name]]
    if twice:
        raise TrainingError(f"the run states another {', '.join(twice)}: leave it out here, or train anew")
    stated = {**kept.metadata, **facts}
    lacking = [name for name in STATED if name not in stated]
    if lacking:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in lacking)
        raise TrainingError(f"the run does not state its {', '.join(lacking)}: give {options} here")
    return replace(kept, metadata=stated)


def read_statement(path: Path) -> str:
    """Read a section for the card; raise TrainingError if it cannot be read, or has no heading of its own."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"statement {path.name} cannot be read: give a Markdown file in UTF-8") from error
    if not text.lstrip().startswith("## "):
        raise TrainingError(f"statement {path.name} has no heading: begin it with “## ” and a title")
    return text


def read_curve(path: Path) -> list[dict[str, Any]]:
    """Read the validation figures of a run, epoch by epoch; raise TrainingError if the file is none of fit's."""
    try:
        lines = [json.loads(line) for line in read_text(path).splitlines()]
        return [line for line in lines if line["kind"] == "validation"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path.name} cannot be read: give a folder of alta-train fit, whole") from error


def show_split(split: SplitFigures) -> SplitFigures:
    """Print what was measured on a split, and pass it on."""
    own = spell_interval(split.model, "auc")
    beside = f"pixel baseline {split.pixels['auc']:.3f}; frozen features {split.frozen['auc']:.3f}"
    say(f"{split.split}: AUC {own}; {beside}")
    return split
