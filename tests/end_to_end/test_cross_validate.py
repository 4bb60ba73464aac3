"""cross_validate.py on sixteen small radiographs: the table, what is not run again, and what is refused."""

import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, run_training_command

from alta_training.data.sentences import fill, read_wordings
from alta_training.data.teacher import write_teacher

RECIPE = """
batch = 4
epochs = 1
schedule_epochs = 1
warmup_epochs = 0
base_learning_rate = 0.05
image_mask = 0.0
text_mask = 0.0
min_sentences = 1
max_sentences = 2
fusion = "frontal"
looks = 1
image_tower = "frozen"
text_tower = "whole"
[tower]
text_width = 16
text_depth = 1
text_heads = 2
vocabulary = 250
max_tokens = 24
[objectives]
label.weight = 1.0
global.weight = 0.0
local.weight = 0.0
reconstruction.weight = 0.0
report.weight = 0.0
distillation.width = 3
"""
ARMS = """
[taught]
what = "with a teacher"
recipe = "tiny.toml"
set = ["objectives.distillation.weight=0.5"]
teacher = true
[average]
what = "an average"
recipe = "tiny.toml"
set = ["ema=0.9"]
over = "taught"
"""


@pytest.fixture(scope="module")
def arms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arms")
    (folder / "tiny.toml").write_text(RECIPE)
    (folder / "arms.toml").write_text(ARMS)
    own = read_wordings()
    named = [(template, name) for names in own.findings.values() for name in names for template in own.present]
    named += [(template, name) for names in own.findings.values() for name in names for template in own.absent]
    sentences = [*own.normal, *(fill(*one) for one in named)]
    rng = np.random.default_rng(0)
    write_teacher(folder / "teacher.npz", sentences, rng.standard_normal((len(sentences), 3)))
    return folder


@pytest.fixture(scope="module")
def given(labelled, arms):
    """Arguments of a comparison."""

    def list_arguments(output, *more, file="arms.toml"):
        paths = ["--backbone", labelled / "vision" / "tower.safetensors", "--teacher", arms / "teacher.npz"]
        paths += ["--radiographs", labelled / "labels.csv", "--cache", output.parent / "cache", "--output", output]
        return [str(part) for part in (arms / file, *paths, "--folds", 2, "--seeds", 1, *more)]

    return list_arguments


@pytest.fixture(scope="module")
def compare(given):
    """Run the command as a user does: its workers import it anew."""

    def run(*arguments, **more):
        command = [sys.executable, ROOT / "training" / "cross_validate.py", *given(*arguments, **more)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    return run


def state(output):
    return {path.name: path.stat().st_mtime_ns for path in output.glob("*.json")}


def test_a_comparison_from_its_first_run_to_one_of_a_changed_recipe(compare, arms, tmp_path):
    output = tmp_path / "scores"
    done = compare(output, "--markdown", tmp_path / "table.md")
    assert done.returncode == 0, done.stderr + (output / "log.txt").read_text()
    assert "16 radiographs of 12 patients (train and val), 2 folds by patient, 1 divisions" in done.stdout
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if "|" in line]
    assert [row[0] for row in rows[2:]] == ["frozen features", "taught", "average"]
    assert rows[-1][1] == "an average" and rows[-1][4].endswith("over taught")
    assert (tmp_path / "table.md").read_text().strip() == done.stdout.strip()
    assert "the pixel baseline is left out: each fold would have to train on 80 radiographs" in done.stderr
    assert "Not for clinical use." in done.stderr
    first = state(output)
    assert sorted(name[: name.rindex("-")] for name in first) == [
        *(f"average-0-{number}" for number in range(2)),
        "baselines",
        *(f"taught-0-{number}" for number in range(2)),
    ]
    log = (output / "log.txt").read_text()
    assert log.count("finished") == 5
    assert sum(map(int, re.findall(r"over (\d+) looks", log))) == 16  # once each, whatever the arm, fold and seed

    again = compare(output)
    assert again.stdout == done.stdout
    assert state(output) == first and (output / "log.txt").read_text() == log

    (arms / "changed.toml").write_text(ARMS.replace("ema=0.9", "ema=0.8"))
    assert compare(output, file="changed.toml").returncode == 0
    changed = state(output)
    assert first.items() < changed.items()
    assert sorted(name[:9] for name in changed.keys() - first.keys()) == ["average-0", "average-0"]

    # Fold 0 of three is another part than fold 0 of two.
    assert compare(output, "--folds", 3).returncode == 0
    assert len(state(output)) == len(changed) + 2 * 3 + 1


def test_a_failing_arm_is_one_line_that_names_the_log(compare, arms, tmp_path):
    (arms / "failing.toml").write_text('[large]\nrecipe = "tiny.toml"\nset = ["batch=1000"]\n')
    done = compare(tmp_path / "scores", file="failing.toml")
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.strip())
    assert "failed: its message is the last of log.txt in --output" in line
    assert "rows do not fill one batch of 1000" in (tmp_path / "scores" / "log.txt").read_text().splitlines()[-1]
    assert not list((tmp_path / "scores").glob("*.json"))


@pytest.mark.parametrize(
    ("arm", "more", "message"),
    [
        ("[a]\nrecipe = 'none.toml'", (), "none.toml not found"),
        ("[a]\nrecipe = 'tiny.toml'", ("--backbone", "none.safetensors"), "none.safetensors not found"),
        ("[a]\nrecipe = 'tiny.toml'\nteacher = true", ("--teacher", "none.npz"), "none.npz not found"),
        ("[a]\nrecipe = 'tiny.toml'\nreports = true", (), "an arm learns from reports: give --reports"),
        ("[pixels]\nrecipe = 'tiny.toml'", (), "an arm is named as a baseline"),
        ("[a]\nrecipe = 'tiny.toml'", ("--folds", 9), "9 folds need as many patients of either class, not 6"),
        ("[a]\nrecipe = 'tiny.toml'", ("--finding", "Mass"), "does not have both Mass and No Finding"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_the_first_run(
    arm, more, message, given, arms, tmp_path, monkeypatch, assert_refused
):
    (arms / "wrong.toml").write_text(arm)
    monkeypatch.syspath_prepend(ROOT / "training")  # it imports fit and pair, which are in no package
    result = run_training_command("cross_validate", *given(tmp_path / "scores", *more, file="wrong.toml"))
    assert_refused(result, message, tmp_path / "scores")
