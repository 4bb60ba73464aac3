"""Case published-form-of-another-size: a .pth of {"model", "epoch"} whose decoder the image heads do not divide."""

import subprocess
import sys

import pytest
from click.testing import CliRunner
from conftest import DATA_DIR, ROOT

from alta_export.cli import main as alta_export

CASE = DATA_DIR.parent / "cases" / "published-form-of-another-size"
TEXT_MODEL = ROOT / "examples" / "models" / "demo" / "text-model"


def test_it_exports_the_engine_of_the_demo_model(demo_export, tmp_path):
    if not CASE.is_dir():
        pytest.skip("shared data absent: cases")
    subprocess.run([sys.executable, CASE / "make_input.py", ROOT, tmp_path], check=True)
    options = ["--checkpoint", tmp_path / "plain.pth", "--text-model", TEXT_MODEL, "--output", tmp_path / "demo.alta"]
    done = CliRunner().invoke(alta_export, [str(option) for option in options])
    assert done.exit_code == 0, done.output
    assert "since the checkpoint does not state them" in done.stderr
    for name in ("image.onnx", "text.onnx", "patches.onnx", "head.npz", "selftest.npz"):
        assert (tmp_path / "demo.alta" / name).read_bytes() == (demo_export / "demo.alta" / name).read_bytes(), name
