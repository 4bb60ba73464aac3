"""SOURCE_DATE_EPOCH dates an export, so that two of the same checkpoint are the same file."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import DEMO_WHEEL, export_quietly, load_program

from alta_export.demo_model import find_inputs
from alta_export.options import check_options, read_stated_date
from alta_sdk.errors import ExportError


@pytest.mark.parametrize(
    ("stated", "date"),
    [
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("1718064000", datetime(2024, 6, 11, tzinfo=UTC)),
        ("-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_stated_date_is_seconds_since_1970_in_utc(stated, date, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", stated)
    assert read_stated_date() == date


def test_without_it_no_date_is_stated(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert read_stated_date() is None


@pytest.mark.parametrize("stated", ["", "yesterday", "1.5", "1e9", "1_000", " 1", "1\n", "٣", "9" * 30, "9" * 9999])
def test_what_is_no_integer_is_refused_in_one_line_before_any_work(stated, monkeypatch, export_options):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", stated)
    with pytest.raises(ExportError, match="SOURCE_DATE_EPOCH is no date: set it to whole seconds") as refused:
        check_options(export_options())
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("command", [[Path(sys.executable).with_name("alta-export")], [sys.executable, DEMO_WHEEL]])
def test_commands_refuse_it_before_any_package_stumbles_over_it(command, tmp_path):
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "soon"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ExportError: SOURCE_DATE_EPOCH is no date")
    assert "Traceback" not in done.stderr


def test_two_exports_of_a_date_are_the_same_bytes(monkeypatch, export_options, tmp_path):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1718064000")
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        report = export_quietly(export_options(tmp_path / name / "test.alta"))
        assert report.manifest.created == "2024-06-11T00:00:00+00:00"
        assert report.manifest.engine["milliseconds_per_radiograph"] == {}
        written.append({path.name: path.read_bytes() for path in report.path.iterdir()})
    assert written[0] == written[1]


def test_the_demo_wheel_is_dated_by_the_demo_model_s_file():
    checkpoint, _, _ = find_inputs(None, None, None)
    assert int(load_program(DEMO_WHEEL).date_of_demo()) == int(checkpoint.stat().st_mtime)
