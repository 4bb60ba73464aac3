"""Store a run's best weights for others: half precision, with a model card measured on the stored file."""

import json
from pathlib import Path
from typing import Any

import click
import torch

from alta_sdk.cli.option_groups import CONTEXT, PATH
from alta_sdk.cli.terminal import fail_in_one_line, say
from alta_sdk.dicom.intensity import PUBLISHED
from alta_sdk.errors import TrainingError
from alta_sdk.files.atomic import new_folder
from alta_training.data.labelled import read_labelled
from alta_training.evaluation.baselines import evaluate_baseline
from alta_training.evaluation.encoders import CheckpointEncoder, Encoder
from alta_training.evaluation.model_card import CardFacts, SplitFigures, render_card, spell_interval
from alta_training.evaluation.zero_shot import evaluate_labelled
from alta_training.families.checkpoint import load_model, read_checkpoint, read_text_model, save_checkpoint
from alta_training.model.trainable import freeze_backbones
from alta_training.run.files import METRICS, copy_text_model

STATED = ("notice", "training_data", "licence")


@click.command(context_settings=CONTEXT)
@click.argument("run", type=PATH)
@click.option("--output", required=True, type=PATH, help="Folder to write: NAME.safetensors, text-model/, README.md.")
@click.option("--data", required=True, type=PATH, help="Labelled table: image, patient, view, findings, split.")
@click.option("--finding", default="Pneumonia", show_default=True, help="Against No Finding.")
@click.option("--overwrite", is_flag=True, help="Replace what is already there.")
@fail_in_one_line
def main(run: Path, output: Path, data: Path, finding: str, overwrite: bool) -> None:
    """Store the best weights of RUN, a folder of fit.py, with figures on the val and test splits."""
    if output.exists() and not overwrite:
        raise TrainingError(f"{output.name} exists: choose another --output, or replace it with --overwrite")
    if not output.resolve().parent.is_dir():
        raise TrainingError(f"--output {output.name}: its parent folder does not exist; make it first")
    if not (run / "best.safetensors").is_file():
        raise TrainingError(f"{run.name} has no best.safetensors: give a folder of fit.py that ran with --validation")
    best = read_checkpoint(run / "best.safetensors")
    lacking = [name for name in STATED if name not in best.metadata]
    if lacking:
        raise TrainingError(f"the run does not state its {', '.join(lacking)}: give them to fit.py")
    text_model = read_text_model(run / "text-model")
    with new_folder(output, overwrite=overwrite) as folder:
        copy_text_model(run / "text-model", folder / "text-model")
        file = folder / f"{output.name}.safetensors"
        save_checkpoint(load_model(best, text_model), file, best.metadata, torch.float16)
        stored = read_checkpoint(file)
        model = load_model(stored, text_model)  # what is measured is what others get
        splits = measure_splits(
            CheckpointEncoder(model, text_model, output.name, stored.metadata.get("intensity_profile", PUBLISHED)),
            data,
            finding,
        )
        facts = CardFacts(
            name=output.name,
            stated=stored.metadata,
            finding=finding,
            table=data.parent.name,
            trained=str(freeze_backbones(model)),
            size_bytes=file.stat().st_size,
            sizes=model.sizes.describe(),
        )
        card = render_card(facts, splits, read_curve(run / METRICS))
        (folder / "README.md").write_text(card, encoding="utf-8")
    say(f"stored: {output}. Not for clinical use.")


def measure_splits(encoder: Encoder, data: Path, finding: str) -> list[SplitFigures]:
    """Measure the model and the pixel baseline on the val and test splits of a labelled table."""
    train = read_labelled(data, split="train", finding=finding)
    splits = []
    for split in ("val", "test"):
        radiographs = read_labelled(data, split=split, finding=finding)
        own, baseline = evaluate_labelled(encoder, radiographs, finding), evaluate_baseline(train, radiographs)
        splits.append(SplitFigures(split, own, baseline))
        say(f"{split}: AUC {spell_interval(own, 'auc')}; pixel baseline {baseline['auc']:.3f}")
    return splits


def read_curve(path: Path) -> list[dict[str, Any]]:
    """Read the validation figures of a run, epoch by epoch."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["kind"] == "validation"]


if __name__ == "__main__":
    main()
