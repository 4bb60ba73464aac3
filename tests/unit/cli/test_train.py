"""`alta-train`: usage is refused before torch is imported, shipped recipes by name, and what check tells."""

import csv
import json
import subprocess
import sys

import click
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ROOT, load_program
from PIL import Image

from alta_sdk import RuntimeUnavailable
from alta_training.cli import COMMANDS, facts, main, packages
from alta_training.data.records import COLUMNS

HEADER = ["image", "patient", "view", "findings", "split"]
# Runs every call that it reads, in one process, and says of each how it ended and whether torch was imported.
TOLD = """
import json, sys
from click.testing import CliRunner
from alta_training.cli import main
ends = []
for call in json.load(sys.stdin):
    done = CliRunner().invoke(main, call)
    ends.append([done.exit_code, done.output, "torch" in sys.modules])
print(json.dumps(ends))
"""


def write(path, *rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def tables(tmp_path):
    return make_tables(tmp_path)


def make_tables(folder):
    """Write labels.csv of six radiographs in three splits, train.csv of two studies, and a file for a backbone."""
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 255, (240, 240), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"DOE_JANE_{number}.png")
    splits, findings = ["train", "train", "val", "val", "test", "test"], ["Edema", "No Finding"] * 3
    rows = [
        [f"DOE_JANE_{n}.png", f"DOE_{n}", "PA", finding, split]
        for n, (finding, split) in enumerate(zip(findings, splits, strict=True))
    ]
    write(folder / "labels.csv", HEADER, *rows)
    studies = [["DOE_JANE_0.png", -1, "DOE_JANE_1.png", -1, "Clear."], ["DOE_JANE_2.png", -1, -1, -1, "Edema."]]
    write(folder / "train.csv", [*COLUMNS, "report"], *studies)
    (folder / "backbone.pth").touch()
    return folder


FIT = ("fit", "--backbone", "backbone.pth", "--data", "train.csv", "--output", "run")
VALIDATED = (*FIT, "--validation", "labels.csv")
EVALUATED = ("evaluate", "backbone.pth", "--data", "labels.csv", "--protocol")
SHARED_RUNS = ("--radiographs", "labels.csv", "--cache", "cache", "--output", "run")
MISUSES = [
    ((*FIT, "--wrong"), 2, "No such option"),
    (FIT[:-2], 2, "Missing option '--output'"),
    ((*FIT, "--device", "tpu"), 2, "'auto', 'cpu', 'cuda'"),
    ((*FIT, "--set", "batch=many"), 1, "recipe: batch must be a whole number, such as 256"),
    ((*FIT, "--set", "looks=true"), 1, "recipe: looks must be a whole number, such as 0"),
    ((*FIT, "--set", "image_tower=whole"), 1, "image_tower must be one of adapters, frozen"),
    (
        (*FIT, "--recipe", "demmo"),
        1,
        "recipe demmo is not shipped: give a TOML file, or one of demo, demo-reports, pub",
    ),
    ((*FIT, "--data", "none.csv"), 1, "table none.csv not found"),
    ((*FIT, "--data", "labels.csv"), 1, "report: it is a labelled table"),
    ((*FIT, "--output", "taken"), 1, "exists and is not empty"),
    ((*FIT, "--backbone", "none.pth"), 1, "backbone none.pth not found"),
    ((*FIT, "--set", "patience=2"), 1, "patience needs a validation"),
    ((*VALIDATED, "--validation-split", "dev"), 1, "has no row of split dev: its splits are test, train, val"),
    (VALIDATED, 1, "does not have both Pneumonia and No Finding in split val: an AUC needs two classes; its findings "),
    (("pretrain", *FIT[3:], "--set", "batch=1.5"), 1, "recipe: batch must be a whole number"),
    ((*EVALUATED, "chexpert"), 2, "'chexpert5x200'"),
    ((*EVALUATED, "labelled", "--finding", "Oedema"), 1, "its findings are Edema, No Finding"),
    ((*EVALUATED, "labelled", "--finding", "Edema", "--split", "dev"), 1, "its splits are test, train, val"),
    ((*EVALUATED, "pairs"), 1, "table labels.csv lacks the columns caption: it is a labelled table"),
    (("evaluate", "none.pth", *EVALUATED[2:], "rsna"), 1, "model none.pth not found"),
    (
        ("cross-validate", "arms", *FIT[1:3], *SHARED_RUNS),
        1,
        "arms arms is not shipped: give a TOML file, or one of demo-arms",
    ),
]


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """How each of MISUSES ends, in a folder of tables."""
    folder = make_tables(tmp_path_factory.mktemp("tables"))
    (folder / "taken").mkdir()
    (folder / "taken" / "thesis.txt").touch()
    calls = json.dumps([call for call, _, _ in MISUSES])
    command = [sys.executable, "-c", TOLD]
    done = subprocess.run(command, input=calls, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not (folder / "run").exists()
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len(MISUSES)))
def test_wrong_usage_is_told_without_torch(number, ends):
    _, code, message = MISUSES[number]
    told, output, imported_torch = ends[number]
    assert (told, imported_torch) == (code, False) and message in output, output
    assert "DOE" not in output and "Traceback" not in output


def test_every_command_helps_without_torch():
    code = "import sys; from alta_training.cli import main; main(['--help'], standalone_mode=False)"
    command = [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"]
    helped = subprocess.run(command, capture_output=True, text=True, check=False)
    assert helped.returncode == 0 and helped.stdout.endswith("False\n"), helped.stderr
    assert all(name in helped.stdout for name in COMMANDS)


def test_a_program_of_a_checkout_is_the_command():
    for path in (ROOT / "training").glob("*.py"):
        command = main.get_command(click.Context(main), path.stem.replace("_", "-"))
        assert load_program(path).main is command


def test_without_the_packages_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name in ("torch", "timm") else name)
    with pytest.raises(RuntimeUnavailable, match=r"torch, timm not installed: pip install 'alta-sdk\[train\]'"):
        packages.need_packages()


def run_check(*given):
    return CliRunner().invoke(main, ["check", *map(str, given)])


def test_check_tells_splits_patients_and_findings_of_a_labelled_table(tables):
    shown = run_check(tables / "labels.csv")
    assert shown.exit_code == 0, shown.output
    assert "6, of which 6 can be used" in shown.stdout and "patients in several splits  none" in shown.stdout
    assert "6 of 6 radiographs read" in shown.stderr and "DOE" not in shown.output
    told = json.loads(run_check(tables / "labels.csv", "--json").stdout)
    assert told["kind"] == "labelled table" and told["steps_per_epoch"] is None
    assert told["patients"] == {"train": 2, "val": 2, "test": 2} and told["splits"] == "test, train, val"
    assert told["findings"]["Edema"] == {"train": 1, "val": 1, "test": 1}


def test_check_tells_what_fit_would_see(tables):
    told = json.loads(run_check(tables / "train.csv", "--json", "--set", "batch=2").stdout)
    assert (told["kind"], told["rows"], told["steps_per_epoch"]) == ("training table", 2, 1)
    assert told["slots"] == {"frontal": 2, "prior_frontal": 1} and told["findings"] == {}
    assert "1 steps of 2 studies" in run_check(tables / "train.csv", "--set", "batch=2").stdout


def test_check_lists_refused_rows_and_patients_of_two_splits(tables):
    rows = [[f"DOE_JANE_{n}.png", "DOE", "PA", finding, split] for n, (finding, split) in enumerate(SHARED)]
    (tables / "DOE_JANE_0.png").write_bytes(b"none")
    table = write(tables / "shared.csv", HEADER, *rows, ["DOE_none.png", "x", "PA", "Edema", "val"])
    refused = run_check(table)
    assert refused.exit_code == 1 and "3 of 4 rows of shared.csv cannot be used: mend them" in refused.stderr
    assert "row 1: image_path:" in refused.stderr and "row 4: image_path: file not found" in refused.stderr
    assert "row 3: findings say No Finding beside a finding" in refused.stderr and "DOE" not in refused.output
    kept = run_check(table, "--bad-rows", "skip", "--json")
    assert kept.exit_code == 0 and json.loads(kept.stdout)["refused"][0]["row"] == 1
    whole = write(tables / "whole.csv", HEADER, *([f"DOE_JANE_{n}.png", "DOE", "PA", "Edema", s] for n, s in TWO))
    assert "patients in several splits  1" in run_check(whole).stdout


SHARED = [("Edema", "train"), ("No Finding", "val"), ("No Finding|Edema", "val")]
TWO = [(1, "train"), (2, "val")]


def test_check_refuses_what_is_no_table_of_training_without_naming_its_columns(tables):
    refused = run_check(write(tables / "names.csv", ["DOE_JANE", "1.2.3"], ["DOE_JOHN", "4"]))
    assert refused.exit_code == 1 and "is of no kind that training reads" in refused.stderr
    assert "DOE" not in refused.output


def test_values_of_a_confused_column_are_counted_and_not_told(tables):
    rows = [["DOE_JANE_1.png", n, "PA", "Edema", f"DOE_{n}"] for n in range(30)]
    shown = run_check(write(tables / "confused.csv", HEADER, *rows))
    assert shown.exit_code == 0 and "30 different values" in shown.stdout and "DOE" not in shown.output
    refused = CliRunner().invoke(
        main,
        [*EVALUATED[:1], str(tables / "backbone.pth"), "--protocol", "labelled"]
        + ["--data", str(tables / "confused.csv")],
    )
    assert "its splits are 30 different values" in refused.stderr and "DOE" not in refused.output


def test_card_facts_are_asked_for_on_a_terminal_and_named_elsewhere(monkeypatch, capsys):
    given = {"training_data": None, "licence": "CC0", "notice": None}
    assert facts.ask_facts(given) == {"licence": "CC0"}
    assert "not stated for the model card: --training-data, --notice; give them here" in capsys.readouterr().err
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: True)
    monkeypatch.setattr(click, "prompt", lambda text, **_: " radiographs " if "trained on" in text else "")
    assert facts.ask_facts(given) == {"licence": "CC0", "training_data": "radiographs"}
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert facts.ask_facts(given) == {"licence": "CC0"}
