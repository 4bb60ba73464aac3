"""Case index-on-a-full-disk: one line of error, nothing half-written, and what was computed is still printed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from alta_sdk import AltaError
from alta_sdk.cli import main
from alta_sdk.cli.last_steps import take_every_step

FULL = (
    "import resource, signal, sys; from alta_sdk.cli import main;"
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1]))); main(sys.argv[2:])"
)
posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX alone has the limit")


@pytest.fixture
def studies(tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(generator.integers(0, 255, (240, 240), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def out(tmp_path):
    (tmp_path / "full").mkdir()
    return tmp_path / "full"


def run_on_a_full_disk(limit, *arguments):
    command = [sys.executable, "-c", FULL, str(limit), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def assert_one_line(done, message):
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith(message), done.stderr


@posix_only
def test_an_index_on_a_full_disk_is_one_line_and_leaves_nothing(bundle, studies, out, tmp_path):
    done = run_on_a_full_disk(0, "embed", studies, "--engine", bundle, "--out", out / "x.index")
    assert_one_line(done, "EngineError: index cannot be written: File too large")
    assert not list(out.iterdir())


@posix_only
def test_a_table_on_a_full_disk_costs_neither_the_page_nor_what_is_printed(bundle, studies, out):
    (out / "dev").symlink_to("/dev/full")
    given = ["score", studies, "--engine", bundle, "--labels", "edema,", "--json"]
    done = run_on_a_full_disk(1 << 30, *given, "--csv", out / "dev", "--html", out / "run.html")
    assert_one_line(done, "AltaError: report cannot be written: No space left on device")
    assert len(json.loads(done.stdout)["studies"]) == 3
    assert (out / "run.html").read_bytes().startswith(b"<!DOCTYPE html>")


@pytest.fixture
def full(monkeypatch):
    """A disk that is full when a file is flushed."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    def begin():
        monkeypatch.setattr("alta_sdk.files.atomic.flush", fail)

    return begin


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_told_and_printed(result):
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr.strip().splitlines()[-1]
    assert json.loads(result.stdout)


def test_a_heat_map_and_an_index_of_reports_do_not_cost_what_is_printed(bundle, radiograph_path, out, full, tmp_path):
    (tmp_path / "reports.txt").write_text("There is edema.\nThe lungs are clear.\n", encoding="utf-8")
    full()
    given = [radiograph_path, "--engine", bundle, "--json"]
    pictures = ["--output", out / "heat.png", "--dicom", out / "heat.dcm"]
    assert_told_and_printed(invoke("locate", *given, "--phrase", "edema", *pictures))
    kept = ["--write-index", out / "r.index"]
    assert_told_and_printed(invoke("rank", *given, "--reports", tmp_path / "reports.txt", *kept))
    assert not list(out.iterdir())


def test_each_step_is_taken_and_the_first_error_is_the_one_that_is_told():
    taken = []

    def fail(error):
        taken.append(error)
        raise error

    first = OSError("full")
    with pytest.raises(OSError, match="full"):
        take_every_step(lambda: taken.append(1), None, lambda: fail(first), lambda: fail(AltaError("later")))
    assert len(taken) == 3
    with pytest.raises(ZeroDivisionError):
        take_every_step(lambda: 1 / 0)
