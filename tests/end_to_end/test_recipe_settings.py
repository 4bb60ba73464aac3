"""What a recipe says of the towers, their rates, the average of the weights and the end of a run."""

import csv
import json

import numpy as np
import pytest
import torch
from conftest import run_training_command
from PIL import Image
from safetensors.torch import load_file

from alta_training.data.records import COLUMNS
from alta_training.families.checkpoint import load_model, read_checkpoint, read_text_model
from alta_training.model.names import published_name
from alta_training.model.trainable import name_part
from alta_training.run.loop import Trainer

FAST = {
    "batch": 4,
    "epochs": 2,
    "schedule_epochs": 2,
    "warmup_epochs": 0,
    "base_learning_rate": 0.05,
    "text_dropout": 0,
    "objectives.local.weight": 0,
    "objectives.reconstruction.weight": 0,
    "objectives.report.weight": 0,
    "fusion": "frontal",
}
TOWER = {"text_width": 16, "text_depth": 1, "text_heads": 2, "vocabulary": 250, "max_tokens": 24}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_backbones):
    """Eight radiographs with reports and labels; a whole small model; the image tower of it alone."""
    folder = tmp_path_factory.mktemp("settings")
    rng = np.random.default_rng(3)
    findings = ["Pneumonia", "No Finding"] * 4
    for number in range(8):
        small = rng.integers(0, 255, (12, 12), dtype=np.uint8)
        Image.fromarray(small).resize((240, 240)).save(folder / f"{number}.png")
    with (folder / "train.csv").open("w", newline="") as file:
        reports = [
            f"There is {'no ' if name == 'No Finding' else ''}pneumonia. Row {n}." for n, name in enumerate(findings)
        ]
        csv.writer(file).writerows(
            [[*COLUMNS, "report"], *([f"{n}.png", -1, -1, -1, r] for n, r in enumerate(reports))]
        )
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = [[f"{n}.png", n, "PA", name, "val"] for n, name in enumerate(findings)]
        csv.writer(file).writerows([["image", "patient", "view", "findings", "split"], *rows])
    write_backbones(folder)
    return folder


def fit(folder, output, *more, backbone="whole.safetensors", **settings):
    given = [f"--set={name}={value}" for name, value in {**FAST, **settings}.items()]
    paths = ["--data", folder / "train.csv", "--backbone", folder / backbone, "--output", output, "--device", "cpu"]
    return run_training_command("fit", *paths, *given, *more)


def assert_ran(result):
    assert result.exit_code == 0, result.output
    return result


def moved(before, after, parts):
    """Names that differ between two files, of those that hold one of the parts."""
    one, other = load_file(before), load_file(after)
    return {
        n for n in one.keys() & other.keys() if any(part in n for part in parts) and not torch.equal(one[n], other[n])
    }


def test_a_frozen_image_tower_stays_and_its_head_learns(folder, tmp_path):
    assert_ran(fit(folder, tmp_path / "run", image_tower="frozen"))
    last = tmp_path / "run" / "last.safetensors"
    assert not moved(folder / "whole.safetensors", last, ("blocks", "patch_embed", "cls_token", "norm."))
    assert moved(folder / "whole.safetensors", last, ("projection_head",))


def test_a_rate_of_nothing_moves_nothing(folder, tmp_path):
    """A tower whose rate is 0 stays; so it does while it waits (image_from)."""
    for name, settings in {"rate": {"image_rate": 0}, "wait": {"image_from": 2}}.items():
        assert_ran(fit(folder, tmp_path / name, **settings))
        last = tmp_path / name / "last.safetensors"
        assert not moved(folder / "whole.safetensors", last, ("blocks", "cls_token"))
        assert moved(folder / "whole.safetensors", last, ("bert_encoder.bert",))
    assert_ran(fit(folder, tmp_path / "late", image_from=1))
    assert moved(folder / "whole.safetensors", tmp_path / "late" / "last.safetensors", ("blocks.0.attn_adapter",))


def test_no_gradient_of_the_image_tower_is_computed_while_it_waits(folder, tmp_path, monkeypatch):
    """Two epochs of two steps, the first waits; a state that was saved meanwhile goes on as if never stopped."""
    seen, update = [], Trainer._update

    def note(trainer, rate):
        own = {n: p for n, p in trainer.model.named_parameters() if p.requires_grad and name_part(n) == "image"}
        seen.append((trainer.step, len(own), sum(p.grad is not None for p in own.values())))
        heads = [p for n, p in trainer.model.named_parameters() if p.requires_grad and name_part(n) == "head"]
        assert all(p.grad is not None for p in heads)
        update(trainer, rate)

    monkeypatch.setattr(Trainer, "_update", note)
    assert_ran(fit(folder, tmp_path / "whole", image_from=1))
    count = seen[0][1]
    assert count > 0 and seen == [(0, count, 0), (1, count, 0), (2, count, count), (3, count, count)]
    seen.clear()
    assert_ran(fit(folder, tmp_path / "stopped", "--stop-after", 1, image_from=1))
    state = torch.load(tmp_path / "stopped" / "state.pt", weights_only=True)["model"]
    own = load_file(folder / "whole.safetensors")
    waiting = {name for name in state if name_part(name) == "image"}
    assert len(waiting) == count
    assert all(torch.equal(state[name], own[published_name(name)]) for name in waiting)
    assert_ran(fit(folder, tmp_path / "stopped", "--resume", image_from=1))
    assert seen == [(0, count, 0), (1, count, 0), (2, count, count), (3, count, count)]
    assert not moved(*(tmp_path / name / "last.safetensors" for name in ("whole", "stopped")), ("",))


def test_an_image_tower_that_waits_within_an_accumulated_step_waits_for_all_of_it(folder, tmp_path):
    assert_ran(fit(folder, tmp_path / "run", image_from=0.5, accumulate=2, epochs=1))
    assert moved(folder / "whole.safetensors", tmp_path / "run" / "last.safetensors", ("blocks.0.attn_adapter",))
    assert_ran(fit(folder, tmp_path / "waits", image_from=1, accumulate=2, epochs=1))
    assert not moved(folder / "whole.safetensors", tmp_path / "waits" / "last.safetensors", ("blocks", "cls_token"))


def test_a_text_tower_starts_fresh_with_the_words_of_the_table(folder, tmp_path):
    """An image tower alone is enough: the text tower is drawn, trained whole, and no decoder is made."""
    own = {f"tower.{name}": value for name, value in TOWER.items()}
    result = fit(folder, tmp_path / "run", backbone="vision/tower.safetensors", text_tower="whole", **own)
    assert_ran(result)
    words = (tmp_path / "run" / "text-model" / "vocab.txt").read_text().splitlines()
    assert "pneumonia" in words and "row" in words
    checkpoint = read_checkpoint(tmp_path / "run" / "last.safetensors")
    assert not [name for name in checkpoint.weights if name.startswith(("decoder", "mask_token"))]
    model = load_model(checkpoint, read_text_model(tmp_path / "run" / "text-model"))
    assert model.decoder is None and model.sizes.text.config.hidden_size == 16
    moves = {name: bool(tensor.any()) for name, tensor in checkpoint.weights.items() if name.endswith("D_fc2.weight")}
    assert {name for name, moved in moves.items() if moved} == {name for name in moves if name.startswith("blocks")}


def test_without_text_weights_the_other_ways_are_refused(folder, tmp_path):
    result = fit(folder, tmp_path / "run", "--text-model", folder / "text-model", backbone="vision/tower.safetensors")
    assert result.exit_code == 1 and "has no weights" in result.output
    result = fit(folder, tmp_path / "run", **{"tower.text_width": 16})
    assert result.exit_code == 1 and 'text_tower = "whole"' in result.output


def test_the_average_is_what_is_stored_and_a_resumed_run_has_the_same(folder, tmp_path):
    assert_ran(fit(folder, tmp_path / "plain"))
    assert_ran(fit(folder, tmp_path / "whole", ema=0.9))
    assert_ran(fit(folder, tmp_path / "stopped", "--stop-after", 3, ema=0.9))
    assert_ran(fit(folder, tmp_path / "stopped", "--resume", ema=0.9))
    plain, whole, stopped = (tmp_path / name / "last.safetensors" for name in ("plain", "whole", "stopped"))
    assert moved(plain, whole, ("D_fc2.weight",))
    assert not moved(whole, stopped, ("",))


def test_the_average_is_of_the_steps():
    """Of four steps: decays of 0 (a copy), 2/11, 3/12 and then the recipe's, which is less."""
    from alta_training.run.average import average_weights

    module = torch.nn.Linear(1, 1, bias=False)
    mean = average_weights(module, 0.28)
    expected = None
    for step, decay in enumerate((0.0, 2 / 11, 0.25, 0.28)):
        value = float(10**step)
        torch.nn.init.constant_(module.weight, value)
        mean.update_parameters(module)
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert float(mean.module.weight.detach()) == pytest.approx(expected, rel=1e-6)


def test_a_run_ends_when_its_patience_does(folder, tmp_path):
    """At a rate of 0 no epoch is better than the first."""
    labels = ("--validation", folder / "labels.csv")
    still = {"epochs": 6, "schedule_epochs": 6, "base_learning_rate": 0, "patience": 2}
    result = assert_ran(fit(folder, tmp_path / "run", *labels, **still))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["kind"] == "validation"] == [1, 2, 3]
    assert "finished" in result.output
    again = assert_ran(fit(folder, tmp_path / "run", *labels, "--resume", **still))
    assert "finished" in again.output


def test_patience_without_a_validation_is_refused(folder, tmp_path):
    result = fit(folder, tmp_path / "run", patience=2)
    assert result.exit_code == 1 and "patience needs a validation" in result.output


def test_local_heads_alone_change_no_score(folder, tmp_path):
    """The global part of a run is the same, to the last bit, with the local objective beside it and without."""
    frozen = {"image_tower": "frozen", "looks": 2, "image_mask": 0}
    alone = {"objectives.local.weight": 1, "objectives.local.heads_alone": "true"}
    cache = ("--cache", tmp_path / "cache")
    assert_ran(fit(folder, tmp_path / "with", *cache, **frozen, **alone))
    assert_ran(fit(folder, tmp_path / "without", *cache, **frozen))
    changed = moved(tmp_path / "with" / "last.safetensors", tmp_path / "without" / "last.safetensors", ("",))
    assert changed and all("local" in name for name in changed)
