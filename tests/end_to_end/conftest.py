"""Sixteen small labelled radiographs, sentences made of their labels, and backbones for them."""

import csv
import json

import numpy as np
import pytest
from conftest import make_sizes, run_training_command
from PIL import Image
from safetensors.torch import load_file, save_file

from alta_training.data.synthetic import make_random_model, write_text_model
from alta_training.families.checkpoint import save_checkpoint

RADIOGRAPHS, PATIENTS = 16, 12  # the last patients have two each
FAST = {
    "batch": 4,
    "epochs": 2,
    "schedule_epochs": 2,
    "warmup_epochs": 0,
    "base_learning_rate": 0.05,
    "text_dropout": 0,
    "image_mask": 0,
    "fusion": "frontal",
    "objectives.label.weight": 1,
    "objectives.global.weight": 0,
    "objectives.local.weight": 0,
    "objectives.reconstruction.weight": 0,
    "objectives.report.weight": 0,
}


def write_rows(path, *rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="session")
def write_backbones():
    """Write a small whole model, whole.safetensors with text-model/, and its image tower, vision/tower.safetensors."""

    def write(folder):
        sizes = make_sizes(width=16, depth=2, heads=2, adapter=4, text_depth=1)
        write_text_model(folder / "text-model", sizes.text.config)
        save_checkpoint(make_random_model(sizes, 5), folder / "whole.safetensors", {})
        parts = ("patch_embed", "cls_token", "pos_embed", "blocks", "norm.")
        tower = {
            name: tensor
            for name, tensor in load_file(folder / "whole.safetensors").items()
            if name.startswith(parts) and "_adapter" not in name
        }
        (folder / "vision").mkdir()
        save_file(tower, folder / "vision" / "tower.safetensors", metadata={"image_heads": "2"})

    return write


@pytest.fixture(scope="session")
def labelled(tmp_path_factory, write_backbones):
    """labels.csv, train.csv of pair.py, whole.safetensors with text-model/, and vision/tower.safetensors alone."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(3)
    rows = []
    for number in range(RADIOGRAPHS):
        small = rng.integers(0, 150, (12, 12), dtype=np.uint8)
        small[:6] += 100 * (number % 2)
        Image.fromarray(small).resize((240, 240)).save(folder / f"{number}.png")
        findings = "No Finding" if number % 2 else ("Pneumonia", "Pneumonia|Edema")[number // 2 % 2]
        rows.append([f"{number}.png", number % PATIENTS, "PA", findings, "val" if number % 3 == 0 else "train"])
    write_rows(folder / "labels.csv", ["image", "patient", "view", "findings", "split"], *rows)
    paired = run_training_command(
        "pair", "--radiographs", folder / "labels.csv", "--output", folder / "train.csv", "--no-priors"
    )
    assert paired.exit_code == 0, paired.output
    write_backbones(folder)
    return folder


@pytest.fixture(scope="session")
def fit_labelled(labelled):
    """Run fit.py on these with quick settings: fit_labelled(output, *arguments, backbone=…, data=…, **settings)."""

    def fit(output, *more, backbone="whole.safetensors", data=None, **settings):
        given = [f"--set={name}={value}" for name, value in {**FAST, **settings}.items()]
        paths = ["--data", data or labelled / "train.csv", "--backbone", labelled / backbone, "--output", output]
        return run_training_command("fit", *paths, "--device", "cpu", *given, *more)

    return fit


@pytest.fixture(scope="session")
def read_steps():
    """The steps of a run, without the time they took."""

    def read(output):
        lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        return [{name: value for name, value in line.items() if name != "radiographs_per_second"} for line in lines]

    return read


@pytest.fixture(scope="session")
def assert_refused():
    """A command ends with one line that holds a message, and leaves nothing at a path."""

    def check(result, message, *absent):
        lines = [line for line in result.output.splitlines() if line.strip()]
        assert result.exit_code == 1, result.output
        assert message in lines[-1]
        assert not any("Traceback" in line for line in lines)
        assert isinstance(result.exception, SystemExit)
        for path in absent:
            assert not path.exists() and not list(path.parent.glob(f".{path.name}*"))

    return check
