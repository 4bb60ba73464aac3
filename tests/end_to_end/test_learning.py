"""Alignment learns which report belongs to which radiograph, and nothing where there is nothing to learn."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_sizes, run_training_command
from PIL import Image

from alta_training.data.batches import StudyDataset
from alta_training.data.records import COLUMNS
from alta_training.data.synthetic import make_random_model, write_text_model
from alta_training.families.checkpoint import save_checkpoint

PAIRS = 16
STEPS = 110  # the mean of five falls under LEARNED at 80
CHANCE = math.log(PAIRS)
LEARNED, NOT_LEARNED = 0.1, 2.0
PLACES = ["left lower lobe", "right upper lobe", "left apex", "right hilum"]
FINDINGS = ["opacity", "nodule", "mass", "effusion", "edema", "consolidation", "atelectasis", "scarring"]
SETTINGS = {
    "batch": PAIRS,
    "epochs": STEPS,
    "schedule_epochs": STEPS + 20,
    "warmup_epochs": 2,
    "base_learning_rate": 0.024,
    "image_mask": 0.1,
    "text_mask": 0.15,
    "text_dropout": 0,
    "fusion": "frontal",
    **dict.fromkeys(("rotate", "shear", "translate", "scale", "brightness", "contrast"), 0),
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A table of different radiographs with a different report each, and a small backbone with random weights."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(11)
    rows = []
    for number in range(PAIRS):
        coarse = rng.integers(0, 255, (3, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((256, 256)).save(folder / f"{number}.png")
        report = f"There is {FINDINGS[number % 8]} in the {PLACES[number // 8]}."
        rows.append([f"{number}.png", -1, -1, -1, report])
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[*COLUMNS, "report"], *rows])
    sizes = make_sizes(width=64, depth=2, adapter=32, text_depth=2, vocabulary=600)
    sizes = replace(sizes, image=replace(sizes.image, patch_px=32))
    words = sorted({word.strip(".") for row in rows for word in row[-1].lower().split()})
    write_text_model(folder / "text-model", sizes.text.config, words)
    save_checkpoint(make_random_model(sizes, 5), folder / "backbone.safetensors", {})
    return folder


def align(pairs, output):
    """Run fit.py in this process, and return the global loss of each step."""
    given = ["--backbone", pairs / "backbone.safetensors", "--data", pairs / "train.csv", "--output", output]
    given += ["--device", "cpu", "--cache", pairs / "cache"]
    given += [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
    result = run_training_command("fit", *given)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["global"] for line in lines]


def test_pairs_are_learned_by_heart(pairs, tmp_path):
    losses = align(pairs, tmp_path / "run")
    assert len(losses) == STEPS
    assert losses[0] > 0.8 * CHANCE
    assert np.mean(losses[-5:]) < LEARNED


def test_reports_dealt_anew_at_every_step_are_not_learned(pairs, tmp_path, monkeypatch):
    look_up = StudyDataset.__getitem__

    def deal(self, index):
        epoch, position = index
        own = self.records[position]
        other = np.random.default_rng(epoch).permutation(len(self.records))[position]
        self.records[position] = replace(own, report=self.records[other].report)
        item = look_up(self, index)
        self.records[position] = own
        return item

    monkeypatch.setattr(StudyDataset, "__getitem__", deal)
    losses = align(pairs, tmp_path / "run")
    assert min(losses) > NOT_LEARNED
