"""A stranger's objective, one class: it trains, resumes bit for bit, is kept in checkpoints, and exports without it."""

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import export_quietly, make_sizes, run_training_command
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from alta_export.options import ExportOptions
from alta_training.data.needs import Need
from alta_training.data.records import COLUMNS
from alta_training.data.synthetic import make_random_model, write_text_model
from alta_training.families.checkpoint import read_checkpoint, save_checkpoint
from alta_training.objectives import OBJECTIVES, Objective
from alta_training.objectives.contract import IMAGE_TOWER, TEXT_TOWER
from alta_training.recipe import ObjectiveSettings

FIT = Path(__file__).parents[2] / "training" / "fit.py"
PROCESS_ATOL = 1e-4  # float32 sums in another order
WORDS = ["clear lungs", "an opacity", "large heart", "small effusion", "no edema", "a nodule", "a mass", "normal"]
FAST = {"batch": 4, "epochs": 2, "schedule_epochs": 2, "warmup_epochs": 0, "base_learning_rate": 0.01}


class Mapped(Objective):
    """Bring mapped studies to their reports, less the running mean of what was mapped."""

    name = "mapped"
    needs = frozenset({Need.STUDY, Need.REPORT})
    trains = IMAGE_TOWER | TEXT_TOWER | {"image.projection_head", "text.cls_projection_head"}

    @dataclass(frozen=True)
    class Settings(ObjectiveSettings):
        momentum: float = 0.9

    def __init__(self, sizes, settings):
        super().__init__(sizes, settings)
        self.map = nn.Linear(sizes.image.embedding, sizes.image.embedding)
        self.register_buffer("mean", torch.zeros(sizes.image.embedding))
        self.mean: torch.Tensor

    def forward(self, passes):
        mapped = self.map(passes.study)
        with torch.no_grad():
            self.mean.lerp_(mapped.mean(dim=0), 1 - self.settings.momentum)
        return (mapped - self.mean - passes.report).square().mean()


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A table of eight frontals, and a tiny backbone."""
    folder = tmp_path_factory.mktemp("start")
    rng = np.random.default_rng(3)
    rows = []
    for number, word in enumerate(WORDS):
        small = rng.integers(0, 255, (12, 12), dtype=np.uint8)
        Image.fromarray(small).resize((260, 280)).save(folder / f"{number}.png")
        rows.append([f"{number}.png", -1, -1, -1, f"There is {word}."])
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[*COLUMNS, "report"], *rows])
    sizes = make_sizes(width=16, depth=1, adapter=4, text_depth=1)
    write_text_model(folder / "text-model", sizes.text.config)
    save_checkpoint(make_random_model(sizes, 5), folder / "backbone.safetensors", {})
    return folder


def fit(start, output, *more, backbone=None, **settings):
    given = ["--data", start / "train.csv", "--backbone", backbone or start / "backbone.safetensors"]
    given += ["--text-model", start / "text-model", "--output", output, "--device", "cpu", *more]
    given += [part for name, value in (FAST | settings).items() for part in ("--set", f"{name}={value}")]
    return [str(part) for part in given]


def run_fit(*given, **settings):
    return run_training_command("fit", *fit(*given, **settings))


def read_steps(output):
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name != "radiographs_per_second"} for line in lines]


MAPPED = {"objectives.mapped.weight": 0.5, "objectives.mapped.momentum": 0.7, "objectives.reconstruction.weight": 0}


@pytest.fixture
def register(monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "mapped", Mapped)


@pytest.fixture
def run(start, tmp_path, register):
    """A whole run with the made-up objective."""
    output = tmp_path / "run"
    result = run_fit(start, output, **MAPPED)
    assert result.exit_code == 0, result.output
    return output


def test_a_made_up_objective_trains_resumes_and_is_kept(start, run, tmp_path):
    steps = read_steps(run)
    assert [step["step"] for step in steps] == [1, 2, 3, 4]
    assert list(steps[0])[3:] == ["global", "local", "reconstruction", "report", "mapped", "learning_rate"]
    assert steps[0]["reconstruction"] == 0
    assert steps[0]["mapped"] > steps[-1]["mapped"] > 0
    assert "[objectives.mapped]\nweight = 0.5\nmomentum = 0.7\n" in (run / "recipe.toml").read_text(encoding="utf-8")

    stopped = tmp_path / "stopped"
    assert run_fit(start, stopped, "--stop-after", 3, **MAPPED).exit_code == 0
    resumed = run_fit(start, stopped, "--resume", **MAPPED)
    assert resumed.exit_code == 0, resumed.output
    assert read_steps(stopped) == steps
    whole, again = load_file(run / "last.safetensors"), load_file(stopped / "last.safetensors")
    assert whole.keys() == again.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, again[name]), name
    states = [torch.load(folder / "state.pt", weights_only=True)["objectives"] for folder in (run, stopped)]
    assert torch.equal(*(state["objective.mapped.mean"] for state in states))
    assert states[0]["objective.mapped.mean"].abs().sum() > 0

    # Weights of its own are in the checkpoint, its buffer is not; nothing else is.
    own = {name for name in whole if name.startswith("objective.")}
    assert own == {"objective.mapped.map.weight", "objective.mapped.map.bias"}
    assert whole.keys() - own == load_file(start / "backbone.safetensors").keys()


def test_a_run_is_not_resumed_with_other_settings_of_an_objective(start, run):
    changed = MAPPED | {"objectives.mapped.momentum": 0.8, "objectives.report.weight": 0}
    other = run_fit(start, run, "--resume", **changed)
    assert other.exit_code == 1
    assert "backbone: objectives.mapped.momentum, objectives.report.weight differ" in other.output


def test_own_weights_start_anew_from_a_backbone_that_has_some(start, run, tmp_path):
    drawn = []
    for backbone in (start / "backbone.safetensors", run / "last.safetensors"):
        output = tmp_path / f"from_{backbone.stem}"
        still = MAPPED | {"base_learning_rate": 0}
        assert run_fit(start, output, "--stop-after", 1, backbone=backbone, **still).exit_code == 0
        drawn.append(torch.load(output / "state.pt", weights_only=True)["objectives"]["objective.mapped.map.weight"])
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], load_file(run / "last.safetensors")["objective.mapped.map.weight"])


def test_the_engine_is_the_one_that_is_exported_without_the_objective(start, run, tmp_path):
    checkpoint = read_checkpoint(run / "last.safetensors")
    plain = {name: tensor for name, tensor in checkpoint.weights.items() if not name.startswith("objective.")}
    save_file(plain, tmp_path / "plain.safetensors", metadata=checkpoint.metadata)
    engines = []
    for name, file in (("with", run / "last.safetensors"), ("without", tmp_path / "plain.safetensors")):
        options = ExportOptions(checkpoint=file, text_model=run / "text-model", output=tmp_path / name / "test.alta")
        options.output.parent.mkdir()
        engines.append(export_quietly(options).path)
    names = {path.name for path in engines[0].iterdir()}
    assert names == {path.name for path in engines[1].iterdir()}
    for name in names - {"manifest.json"}:  # it has the checkpoint's hash and the time
        assert (engines[0] / name).read_bytes() == (engines[1] / name).read_bytes(), name


def test_a_caption_that_an_objective_needs_is_asked_of_the_table_before_the_run(start, tmp_path, register, monkeypatch):
    monkeypatch.setattr(Mapped, "needs", frozenset({*Mapped.needs, Need.CAPTION}))
    result = run_fit(start, tmp_path / "run", **MAPPED)
    assert result.exit_code == 1
    assert "table train.csv lacks the columns caption" in result.output
    assert not (tmp_path / "run").exists()


def test_two_processes_equal_one_when_objectives_are_left_out(start, tmp_path):
    """DDP does not search for parameters without a gradient: what no objective reaches is frozen."""
    left_out = {"objectives.local.weight": 0, "objectives.reconstruction.weight": 0, "fusion": "frontal"}
    left_out["text_dropout"] = 0
    assert run_fit(start, tmp_path / "one", **left_out).exit_code == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(FIT)]
    done = subprocess.run(
        [*command, *fit(start, tmp_path / "two", **left_out)], capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, done.stderr
    for one, two in zip(read_steps(tmp_path / "one"), read_steps(tmp_path / "two"), strict=True):
        assert one == pytest.approx(two, abs=PROCESS_ATOL)
    weights = [load_file(tmp_path / name / "last.safetensors") for name in ("one", "two")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=0, atol=PROCESS_ATOL)
