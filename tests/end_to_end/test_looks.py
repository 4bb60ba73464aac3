"""Runs with looks: the frozen foot is run once for each, kept, shared by runs, and changes no result."""

import os
import shutil

import numpy as np
import pytest
import torch
from conftest import run_training_command
from PIL import Image
from safetensors.torch import load_file, save_file
from tolerances import HALF_TOKENS

from alta_training.data.feet import Feet
from alta_training.data.records import COLUMNS
from alta_training.model.alta import to_model_input
from alta_training.run import feet as run_feet

FROZEN = {"looks": 2, "image_tower": "frozen"}
FOOT = {"looks": 2, "image_blocks": 1, "objectives.local.weight": 0.5}  # patches are read, too
LOOKS = 16 * 2


@pytest.fixture
def ran(monkeypatch):
    """The looks that the foot was run over since this list was cleared."""
    stored, store = [], Feet.store

    def note(feet, radiograph, look, tokens):
        stored.append((radiograph.name, look))
        store(feet, radiograph, look, tokens)

    monkeypatch.setattr(Feet, "store", note)
    return stored


@pytest.fixture
def recompute(monkeypatch):
    """Let what is loaded be computed again from pixels, in float32, instead."""
    known = {}

    keep_feet = run_feet.keep_feet

    def keep(feet, model, recipe, records, reader, fabric):
        known.update(model=model, recipe=recipe, reader=reader)
        return keep_feet(feet, model, recipe, records, reader, fabric)

    def load(feet, radiograph, look):
        tower = known["model"].image
        grey = run_feet._look_at(radiograph, look, known["recipe"], known["reader"])[None]
        with torch.no_grad():
            tokens = tower.embed_patches(to_model_input(grey), torch.tensor([0]))
            for block in tower.blocks[: feet.blocks]:
                tokens = block(tokens)
        return tokens[0, :1] if feet.cls_alone else tokens[0]

    def start():
        monkeypatch.setattr(run_feet, "keep_feet", keep)
        monkeypatch.setattr(Feet, "load", load)

    return start


def assert_ran(result):
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("settings", [FROZEN, FOOT], ids=["frozen", "image_blocks"])
def test_what_is_kept_gives_the_losses_of_what_is_computed(settings, fit_labelled, recompute, read_steps, tmp_path):
    given = ("--cache", tmp_path / "cache")
    slow = {"base_learning_rate": 0.005}  # at higher ones Adam makes much of small differences
    assert_ran(fit_labelled(tmp_path / "kept", *given, **settings, **slow))
    recompute()
    assert_ran(fit_labelled(tmp_path / "computed", *given, **settings, **slow))
    kept, computed = read_steps(tmp_path / "kept"), read_steps(tmp_path / "computed")
    assert len(kept) == 8
    for name in kept[0].keys() - {"kind"}:
        np.testing.assert_allclose([one[name] for one in kept], [one[name] for one in computed], **HALF_TOKENS)
    assert kept != computed  # what was kept was read


def test_a_tower_that_waits_is_all_foot_until_it_moves(fit_labelled, ran, recompute, read_steps, tmp_path):
    """The epoch before image_from reads the whole tower's CLS, the next one goes on from the last frozen block."""
    waits = {"looks": 2, "image_blocks": 1, "image_from": 1, "base_learning_rate": 0.005}
    assert_ran(fit_labelled(tmp_path / "kept", "--cache", tmp_path / "cache", **waits))
    assert len(ran) == 2 * LOOKS
    recompute()
    assert_ran(fit_labelled(tmp_path / "computed", "--cache", tmp_path / "cache", **waits))
    kept, computed = read_steps(tmp_path / "kept"), read_steps(tmp_path / "computed")
    for name in kept[0].keys() - {"kind"}:
        np.testing.assert_allclose([one[name] for one in kept], [one[name] for one in computed], **HALF_TOKENS)


def test_a_second_run_finds_every_look_whatever_its_seed_heads_and_rows(
    labelled, fit_labelled, ran, read_steps, tmp_path
):
    given = ("--cache", tmp_path / "cache")
    result = assert_ran(fit_labelled(tmp_path / "first", *given, **FROZEN))
    assert f"over {LOOKS} looks" in result.output
    assert sorted(ran) == sorted((f"{number}.png", look) for number in range(16) for look in range(2))
    ran.clear()
    again = assert_ran(fit_labelled(tmp_path / "second", *given, **FROZEN))
    assert ran == [] and "looks" not in again.output
    assert read_steps(tmp_path / "first") == read_steps(tmp_path / "second")
    for name, other in {
        "seed": {"seed": 7},
        "rate": {"base_learning_rate": 0.01, "epochs": 1},
        "text": {"text_tower": "whole"},
        "fewer": {"looks": 1},
    }.items():
        assert_ran(fit_labelled(tmp_path / name, *given, **FROZEN | other))
        assert ran == [], name
    lines = (labelled / "train.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    part = labelled / "part.csv"
    part.write_text("".join(lines[:9]), encoding="utf-8")
    assert_ran(fit_labelled(tmp_path / "part", *given, data=part, **FROZEN))
    assert ran == []
    assert_ran(fit_labelled(tmp_path / "more", *given, **FROZEN | {"looks": 3}))
    assert sorted(ran) == sorted((f"{number}.png", 2) for number in range(16))


def test_a_fresh_adapter_is_of_no_seed(fit_labelled, ran, tmp_path):
    """Around an image tower alone they start by the seed and add nothing: what is kept is the same."""
    whole = {"text_tower": "whole", "tower.text_width": 16, "tower.text_depth": 1, "tower.text_heads": 2}
    whole |= {"tower.vocabulary": 250, "tower.max_tokens": 24}
    for seed in (0, 1):
        given = {**FROZEN, **whole, "seed": seed}
        backbone = "vision/tower.safetensors"
        assert_ran(fit_labelled(tmp_path / f"{seed}", "--cache", tmp_path / "cache", backbone=backbone, **given))
        assert len(ran) == LOOKS


@pytest.mark.parametrize(
    "other",
    [{"rotate": 3}, {"brightness": 0.1}, {"image_tower": "adapters", "image_blocks": 1}, {"precision": "bf16-mixed"}],
    ids=str,
)
def test_other_looks_or_another_foot_are_run_anew(other, fit_labelled, ran, tmp_path):
    for number, settings in enumerate((FROZEN, FROZEN | other)):
        assert_ran(fit_labelled(tmp_path / f"{number}", "--cache", tmp_path / "cache", **settings))
        assert len(ran) == LOOKS
        ran.clear()


@pytest.mark.parametrize("change", ["weights", "adapters", "heads"])
def test_another_backbone_is_run_anew(change, labelled, fit_labelled, ran, tmp_path):
    weights = load_file(labelled / "whole.safetensors")
    name = {"weights": "blocks.0.mlp.fc1.weight", "adapters": "blocks.1.mlp_adapter.D_fc2.weight"}.get(change)
    if name:
        weights[name] = weights[name] * 1.01
    metadata = {"image_heads": "4" if change == "heads" else "2", "decoder_heads": "2", "adapter": "bottleneck"}
    save_file(weights, tmp_path / "other.safetensors", metadata=metadata)
    text = ("--text-model", labelled / "text-model")
    for number, backbone in enumerate(("whole.safetensors", tmp_path / "other.safetensors")):
        output = tmp_path / f"{number}"
        assert_ran(fit_labelled(output, "--cache", tmp_path / "cache", *text, backbone=backbone, **FROZEN))
        assert len(ran) == LOOKS
        ran.clear()


def test_a_radiograph_that_changed_is_run_anew(labelled, fit_labelled, ran, tmp_path):
    shutil.copytree(labelled, tmp_path / "own")
    table = tmp_path / "own" / "train.csv"
    given = ("--cache", tmp_path / "cache")
    assert_ran(fit_labelled(tmp_path / "first", *given, data=table, **FROZEN))
    ran.clear()
    file = tmp_path / "own" / "3.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (240, 240), dtype=np.uint8)).save(file)
    os.utime(file, ns=(1, 1))
    assert_ran(fit_labelled(tmp_path / "second", *given, data=table, **FROZEN))
    assert sorted(ran) == [("3.png", 0), ("3.png", 1)]


def test_a_look_that_is_damaged_is_run_anew(fit_labelled, ran, read_steps, tmp_path):
    given = ("--cache", tmp_path / "cache")
    assert_ran(fit_labelled(tmp_path / "first", *given, **FROZEN))
    ran.clear()
    files = sorted((tmp_path / "cache" / "feet").rglob("*.npy"))
    assert len(files) == LOOKS
    files[5].write_bytes(files[5].read_bytes()[:-4])
    files[7].write_bytes(b"")
    assert_ran(fit_labelled(tmp_path / "second", *given, **FROZEN))
    assert len(ran) == 2
    assert read_steps(tmp_path / "first") == read_steps(tmp_path / "second")


def test_a_run_with_looks_resumes(fit_labelled, read_steps, tmp_path):
    given = ("--cache", tmp_path / "cache")
    assert_ran(fit_labelled(tmp_path / "whole", *given, **FOOT))
    assert_ran(fit_labelled(tmp_path / "stopped", *given, "--stop-after", 3, **FOOT))
    assert_ran(fit_labelled(tmp_path / "stopped", *given, "--resume", **FOOT))
    assert read_steps(tmp_path / "whole") == read_steps(tmp_path / "stopped")
    one, other = (load_file(tmp_path / name / "last.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_nothing_below_the_last_blocks_trains(labelled, fit_labelled, tmp_path):
    for name, settings in {"looks": FOOT, "plain": FOOT | {"looks": 0}}.items():
        assert_ran(fit_labelled(tmp_path / name, "--cache", tmp_path / "cache", **settings))
        before, after = load_file(labelled / "whole.safetensors"), load_file(tmp_path / name / "last.safetensors")
        moved = {key for key, tensor in before.items() if not torch.equal(tensor, after[key])}
        tower = {key for key in moved if key.startswith(("blocks", "norm.", "cls_token", "view", "temporal", "patch"))}
        assert tower and all(key.startswith(("blocks.1.", "norm.")) for key in tower)


REFUSED = {
    "looks are kept on disk: give --cache": ({}, False),
    "looks needs a frozen foot: set image_blocks": ({"image_tower": "adapters"}, True),
    "image_blocks is 2, but the tower has 2": ({"image_tower": "adapters", "image_blocks": 2}, True),
    "looks are not for the reconstruction": ({"objectives.reconstruction.weight": 1}, True),
    'looks must be 0 unless fusion is "frontal"': ({"fusion": "present"}, True),
    "looks must be 0 unless": ({"image_mask": 0.5}, True),
    "looks must be not negative": ({"looks": -1}, True),
}


@pytest.mark.parametrize(("message", "given"), REFUSED.items(), ids=REFUSED)
def test_looks_that_cannot_be_are_refused(message, given, fit_labelled, ran, tmp_path, assert_refused):
    settings, has_cache = given
    cache = ("--cache", tmp_path / "cache") if has_cache else ()
    assert_refused(fit_labelled(tmp_path / "run", *cache, **FROZEN | settings), message, tmp_path / "run")
    assert ran == []


def test_pretraining_has_no_looks(labelled, tmp_path, assert_refused):
    settings = {"looks": 2, "image_mask": 0, "fusion": "frontal", "batch": 4, "objectives.reconstruction.weight": 0}
    given = [f"--set={name}={value}" for name, value in settings.items()]
    paths = ("--data", labelled / "train.csv", "--output", tmp_path / "run", "--cache", tmp_path / "cache")
    result = run_training_command("pretrain", *paths, "--device", "cpu", *given)
    assert_refused(result, "pretraining trains the whole image tower", tmp_path / "run")


def test_a_contrast_by_labels_asks_the_table_for_them_before_the_run(labelled, fit_labelled, tmp_path, assert_refused):
    lines = (labelled / "train.csv").read_text(encoding="utf-8").splitlines()
    columns = lines[0].split(",")
    assert columns[: len(COLUMNS)] == list(COLUMNS) and "radiograph_findings" in columns
    without = labelled / "without.csv"
    without.write_text("\n".join([lines[0].replace("radiograph_findings", "other"), *lines[1:]]), encoding="utf-8")
    result = fit_labelled(tmp_path / "run", data=without)
    assert_refused(result, "table without.csv lacks the columns radiograph_findings", tmp_path / "run")
    plain = {"objectives.label.weight": 0, "objectives.global.weight": 1}
    assert_ran(fit_labelled(tmp_path / "run", data=without, **plain))
