"""The commands and examples as a user runs them, from another folder, in fresh processes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, run_training_command
from schemas import check_output

BIN = Path(sys.executable).parent


def run(*command, cwd):
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture(scope="module")
def demo(demo_export, tmp_path_factory):
    """Do what `make demo` does, up to the engine and the DICOM study."""
    folder = tmp_path_factory.mktemp("demo")
    examples = ROOT / "examples"
    shutil.copytree(demo_export / "demo.alta", folder / "demo.alta")
    assert "demo.alta" in (demo_export / "stdout").read_text(encoding="utf-8")
    assert "Warning" not in (demo_export / "stderr").read_text(encoding="utf-8")
    radiograph = examples / "data" / "00001299_000.jpg"
    written = run(sys.executable, examples / "02_write_dicom_study.py", radiograph, "study", cwd=folder)
    assert written.returncode == 0, written.stderr
    return folder


def test_dicom_and_jpeg_of_one_radiograph_score_alike(demo):
    radiograph = ROOT / "examples" / "data" / "00001299_000.jpg"
    scores = []
    for study in ("study", radiograph):
        result = run("alta", "score", study, "--engine", "demo.alta", "--labels", "rsna", "--json", cwd=demo)
        assert result.returncode == 0, result.stderr
        assert "DEMO MODEL" in result.stderr and "Not for clinical use." in result.stderr
        scores.append(json.loads(result.stdout)["scores"]["pneumonia"])
    assert scores[0] == pytest.approx(scores[1], abs=0.02)  # 12 stored bits round to other grey values


def test_table_has_a_row_for_each_label_and_a_column_for_each_study(demo):
    result = run("alta", "score", "study", "study", "--engine", "demo.alta", "--labels", "edema, pneumonia", cwd=demo)
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["label", "study", "1", "study", "2"]
    assert [line.split()[0] for line in lines[3:5]] == ["edema", "pneumonia"]


def test_inspect_and_doctor(demo):
    inspected = run("alta", "inspect", "demo.alta", "--json", cwd=demo)
    assert check_output("inspect", inspected.stdout)["verified"] is True
    assert "Not for clinical use" in run("alta", "inspect", "demo.alta", cwd=demo).stdout
    card = ROOT / "examples" / "models" / "demo" / "README.md"
    assert run("alta", "inspect", "demo.alta", "--card", cwd=demo).stdout == card.read_text(encoding="utf-8")
    machine = run("alta", "doctor", cwd=demo).stdout
    assert "An ONNX engine runs on openvino: usually the fastest of those that work here" in machine
    tested = run("alta", "doctor", "demo.alta", "--json", cwd=demo)
    assert tested.returncode == 0
    assert check_output("doctor", tested.stdout)["passed"] is True
    check_output("doctor", run("alta", "doctor", "--json", cwd=demo).stdout)


def test_quickstart_in_python(demo):
    result = run(sys.executable, ROOT / "examples" / "03_score_a_study.py", "demo.alta", "study", cwd=demo)
    assert result.returncode == 0, result.stderr
    assert "embedding: (128,) frontal" in result.stdout


def test_quickstart_of_locating(demo):
    result = run(sys.executable, ROOT / "examples" / "04_locate_a_phrase.py", "demo.alta", "study", ".", cwd=demo)
    assert result.returncode == 0, result.stderr
    assert "320 × 320 pixels, of which the model saw 77 %" in result.stdout
    assert all((demo / name).is_file() for name in ("heat-1.png", "heat-2.png", "heat.dcm"))


def test_quickstart_of_ranking(demo):
    command = (ROOT / "examples" / "05_rank_reports.py", "demo.alta", ROOT / "examples" / "data", "studies.index")
    result = run(sys.executable, *command, cwd=demo)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("reports, best first: [(") and lines[2].startswith("studies like the first: [1.0, ")
    found = run("alta", "rank", "study", "--engine", "demo.alta", "--index", "studies.index", "--json", cwd=demo)
    assert len(check_output("rank", found.stdout)["matches"]) == 4


def test_quickstart_of_a_follow_up(follow_up_bundle, tmp_path):
    examples = ROOT / "examples"
    for picture, *given in (("00001299_000.jpg", "study"), ("00001637_001.jpg", "earlier", "20250601")):
        write = (examples / "02_write_dicom_study.py", examples / "data" / picture, *given)
        assert run(sys.executable, *write, cwd=tmp_path).returncode == 0
    command = (examples / "07_follow_up_study.py", follow_up_bundle, "study", "earlier")
    result = run(sys.executable, *command, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    alone, beside, *told = result.stdout.splitlines()
    assert alone.startswith("alone: {") and alone.endswith("mode frontal of frontal")
    assert beside.startswith("beside its prior: {") and beside.endswith("mode prior of frontal, prior_frontal")
    assert told[0].startswith("pneumonia: improving 0.") and told[1].startswith("pleural effusion: improving 0.")


def test_quickstart_of_exporting_makes_an_engine_that_opens(tmp_path):
    exported = run(sys.executable, ROOT / "examples" / "06_export_an_engine.py", "half.alta", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    assert "beyond the limits: nothing" in exported.stdout
    tested = run("alta", "doctor", "half.alta", "--json", cwd=tmp_path)
    assert json.loads(tested.stdout)["provenance"]["precision"] == "fp16"


def test_quickstart_of_training_makes_a_checkpoint_that_exports(tmp_path):
    trained = run(sys.executable, ROOT / "examples" / "01_train_a_model.py", "tiny", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    advice = trained.stdout.splitlines()[-1].partition("Export it: ")[2]
    exported = run(*advice.split(), cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "tiny" / "tiny.alta" / "manifest.json").is_file()


def test_examples_are_short():
    for path in (ROOT / "examples").glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 40, path.name


@pytest.mark.parametrize("command", sorted(path.stem for path in (ROOT / "training").glob("*.py")))
def test_training_commands_answer(command):
    helped = run_training_command(command, "--help")
    assert helped.exit_code == 0 and "Usage" in helped.output
    assert run_training_command(command, "--wrong").exit_code == 2
