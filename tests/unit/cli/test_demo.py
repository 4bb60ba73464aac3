"""`alta demo`: scores as `alta score` gives them, and one line where its package is not there or not whole."""

import json
import shutil
import sys
from importlib import import_module

import pytest
from click.testing import CliRunner
from schemas import check_output

from alta_sdk.cli import main

LABELS = "pneumonia, pleural effusion, cardiomegaly"
INSTALL = "pip install 'alta-sdk[demo]'"


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refuse(*arguments):
    """Run `alta demo`, which must fail in one line, and return that line."""
    result = run("demo", *arguments)
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture
def without_package(monkeypatch):
    monkeypatch.setattr(import_module("alta_sdk.cli.demo"), "find_spec", lambda name: None)


@pytest.mark.parametrize("options", [(), ("--json",), ("--path",)])
def test_without_the_package_it_says_what_to_install(without_package, options):
    line = refuse(*options)
    assert line.startswith("RuntimeUnavailable: the demo engine is not installed")
    assert INSTALL in line and "make demo-wheel" in line


def test_a_file_of_that_name_is_not_the_package(tmp_path, monkeypatch):
    (tmp_path / "alta_sdk_demo.py").write_text("raise SystemExit('was run')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert INSTALL in refuse()


def test_the_scores_are_those_of_alta_score(demo_package):
    told = check_output("demo", run("demo", "--json").stdout)
    engine = demo_package / "demo.alta"
    assert told["engine"] == str(engine) and told["card"] == str(demo_package / "MODEL_CARD.md")
    files = [study["file"] for study in told["studies"]]
    paths = [demo_package / "radiographs" / name for name in files]
    scored = json.loads(run("score", *paths, "--engine", engine, "--labels", LABELS, "--json").stdout)
    assert [study["scores"] for study in told["studies"]] == [study["scores"] for study in scored["studies"]]
    assert {(study["view"], study["finding"]) for study in told["studies"]} == {
        ("PA", "No Finding"),
        ("PA", "Pneumonia"),
    }


def test_it_shows_scores_what_the_data_set_says_and_how_to_go_on(demo_package):
    shown = run("demo")
    assert shown.exit_code == 0, shown.output
    assert "Not for clinical use." in shown.stderr
    first = [line.split()[0] for line in shown.stdout.splitlines() if line]
    assert {"pneumonia", "pleural", "cardiomegaly"} <= set(first)
    assert "00001637_001.jpg     PA    Pneumonia" in shown.stdout
    assert str(demo_package / "MODEL_CARD.md") in shown.stdout
    assert f'alta score YOUR.dcm --engine "{demo_package / "demo.alta"}" --labels "{LABELS}"' in shown.stdout


def test_its_path_is_printed_alone_and_the_package_never_imported(demo_package):
    assert run("demo", "--path").stdout == f"{demo_package / 'demo.alta'}\n"
    assert "alta_sdk_demo" not in sys.modules
    assert run("demo", "--path", "--json").exit_code == 2


@pytest.mark.parametrize(
    "name", ["demo.alta/manifest.json", "MODEL_CARD.md", "radiographs/findings.csv", "radiographs/00001299_000.jpg"]
)
def test_a_package_that_is_not_whole_is_told(demo_package, name):
    (demo_package / name).unlink()
    line = refuse()
    assert f"alta_sdk_demo lacks {name.split('/')[-1]}" in line and INSTALL in line


def test_a_table_without_its_columns_is_told(demo_package):
    (demo_package / "radiographs" / "findings.csv").write_text("file\n00001299_000.jpg\n", encoding="utf-8")
    assert "findings.csv of alta_sdk_demo lacks the columns view, finding" in refuse()


def test_what_an_uninstalled_package_leaves_is_told(demo_package):
    shutil.rmtree(demo_package)
    demo_package.mkdir()
    assert "lacks manifest.json" in refuse("--path")


def test_a_changed_engine_is_refused(demo_package):
    graph = demo_package / "demo.alta" / "text.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")
    assert refuse().startswith("IntegrityError: text.onnx has ")
