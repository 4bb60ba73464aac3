"""publish.py: a run's best weights in half precision, with a card measured on the stored file."""

import csv
import json
import shutil

import numpy as np
import pytest
from conftest import run_training_command
from PIL import Image

from alta_training.families.checkpoint import load_model, read_checkpoint, read_text_model, save_checkpoint

STATED = {"notice": "TEST MODEL.", "training_data": "nothing", "licence": "none"}
SPLITS = {"train": 90, "val": 12, "test": 12}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(4)
    rows = []
    for split, count in SPLITS.items():
        for number in range(count):
            name = f"{split}{number}.png"
            Image.fromarray(rng.integers(0, 255, (48, 48), dtype=np.uint8)).save(folder / name)
            finding = "Pneumonia" if number % 2 else "No Finding"
            rows.append([name, f"{split}{number}", "PA" if number % 3 else "AP", finding, split])
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["image", "patient", "view", "findings", "split"], *rows])
    return folder / "metadata.csv"


@pytest.fixture
def run_folder(checkpoint_folder, tmp_path):
    folder = tmp_path / "run"
    text_model = read_text_model(checkpoint_folder / "text-model")
    model = load_model(read_checkpoint(checkpoint_folder / "model.safetensors"), text_model)
    shutil.copytree(checkpoint_folder / "text-model", folder / "text-model")
    save_checkpoint(model, folder / "best.safetensors", {**STATED, "epoch": "2"})
    line = {"kind": "validation", "step": 4, "epoch": 2, "auc": 0.625, "auc_low": 0.5, "auc_high": 0.75}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    return folder


def publish(*arguments):
    return run_training_command("publish", *arguments)


def test_the_stored_model_is_half_as_large_and_its_card_has_both_splits(run_folder, table, tmp_path):
    output = tmp_path / "small"
    result = publish(run_folder, "--output", output, "--data", table)
    assert result.exit_code == 0, result.output
    assert (output / "small.safetensors").stat().st_size < 0.6 * (run_folder / "best.safetensors").stat().st_size
    stored = load_model(read_checkpoint(output / "small.safetensors"), read_text_model(output / "text-model"))
    assert {parameter.dtype.itemsize for parameter in stored.parameters()} == {4}
    card = (output / "README.md").read_text(encoding="utf-8")
    for said in ("TEST MODEL.", "Not for clinical use", "| val | 12 (6) | 12 | all |", "| test |", "view alone"):
        assert said in card
    assert "| 2 | 0.625 | 0.500 to 0.750 |" in card


def test_a_taken_folder_and_a_run_without_statements_are_refused(run_folder, table, tmp_path):
    output = tmp_path / "small"
    output.mkdir()
    taken = publish(run_folder, "--output", output, "--data", table)
    assert taken.exit_code == 1 and "small exists" in taken.stderr
    assert not list(output.iterdir())
    text_model = read_text_model(run_folder / "text-model")
    model = load_model(read_checkpoint(run_folder / "best.safetensors"), text_model)
    save_checkpoint(model, run_folder / "best.safetensors", {"licence": "none"})
    refused = publish(run_folder, "--output", tmp_path / "other", "--data", table)
    assert refused.exit_code == 1
    assert "does not state its notice, training_data" in refused.stderr
    assert not (tmp_path / "other").exists()


def test_a_value_beyond_half_precision_is_refused(run_folder, table, tmp_path):
    text_model = read_text_model(run_folder / "text-model")
    model = load_model(read_checkpoint(run_folder / "best.safetensors"), text_model)
    model.image.patch_embed.proj.weight.data[0] = 1e6
    save_checkpoint(model, run_folder / "best.safetensors", STATED)
    refused = publish(run_folder, "--output", tmp_path / "small", "--data", table)
    assert refused.exit_code == 1 and "holds values that" in refused.stderr
    assert not (tmp_path / "small").exists()
