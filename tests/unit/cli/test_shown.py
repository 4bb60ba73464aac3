"""What commands print: whatever the terminal's encoding, whatever a path holds, and never a NaN."""

import csv
import io
import json
import os
import shutil
import sys

import click
import pytest
from click.testing import CliRunner
from conftest import ROOT, load_program

from alta_export.cli import main as alta_export
from alta_sdk import EngineError
from alta_sdk.cli import main
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_object, print_table, say

BEYOND = "raž 3 cm → 肺炎 \udcff"
ENCODINGS = ["cp1252", "cp437", "latin-1", "ascii", "utf-8"]


def list_commands():
    programs = [main, alta_export, *main.commands.values(), *alta_export.commands.values()]
    return programs + [load_program(path).main for path in sorted((ROOT / "training").glob("*.py"))]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_everything_that_prints_replaces_what_cannot_be_shown(encoding, monkeypatch):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, errors) for errors in ("strict", "backslashreplace"))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    @fail_in_one_line
    def show():
        print_table(BEYOND, ["label", BEYOND], [[BEYOND, "0.5"]])
        print_facts(BEYOND, [(BEYOND, BEYOND)])
        print_object({BEYOND: BEYOND})
        click.echo(BEYOND)
        say(BEYOND)

    show()
    out.flush()
    err.flush()
    shown = out.buffer.getvalue().decode("utf-8", "replace").splitlines()
    assert sum("3 cm" in line for line in shown) >= 6 and json.loads("".join(shown[-5:-1]) or "{}") is not None
    assert b"3 cm" in err.buffer.getvalue() and b"Traceback" not in err.buffer.getvalue()


def test_help_texts_are_ascii_which_every_terminal_shows():
    for command in list_commands():
        shown = CliRunner().invoke(command, ["--help"])
        assert shown.exit_code == 0 and shown.stdout.isascii(), [c for c in shown.stdout if not c.isascii()]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"scores": [1.0, float("-inf")]}])
def test_a_number_that_json_has_not_is_an_error(value):
    with pytest.raises(EngineError, match="not finite"):
        print_object({"top": "edema", "value": value})


@pytest.fixture
def named_in_bytes(tmp_path, radiograph_path):
    """A folder of two studies, one of which has a name that is no UTF-8."""
    folder = tmp_path / "studies"
    folder.mkdir()
    shutil.copyfile(radiograph_path, folder / "a.jpg")
    try:
        shutil.copyfile(radiograph_path, os.fsencode(folder) + b"/M\xfcller.jpg")
    except (OSError, UnicodeError):
        pytest.skip("shared data absent: the disk takes names in UTF-8 alone")
    return folder


def test_a_path_that_is_no_utf8_costs_no_run(named_in_bytes, bundle, tmp_path):
    files = [tmp_path / "s.csv", tmp_path / "s.html"]
    options = ["--engine", bundle, "--labels", "edema,", "--with-identifiers", "--csv", files[0], "--html", files[1]]
    scored = CliRunner().invoke(main, ["score", *map(str, [named_in_bytes, *options])])
    assert scored.exit_code == 0, scored.output
    rows = list(csv.DictReader(io.StringIO(files[0].read_text(encoding="utf-8"))))
    assert sorted(row["path"].rpartition("/")[2] for row in rows) == ["M\\udcfcller.jpg", "a.jpg"]
    assert "M\\udcfcller.jpg" in files[1].read_text(encoding="utf-8")
    for more in ([], ["--json"]):
        command = ["embed", named_in_bytes, "--engine", bundle, "--out", tmp_path / "i.index", "--with-identifiers"]
        made = CliRunner().invoke(main, [*map(str, command), *more])
        assert made.exit_code == 0 and "ller.jpg" in made.stdout, made.output


def test_a_label_that_a_spreadsheet_would_run_is_quoted(bundle, radiograph_path, tmp_path):
    table = tmp_path / "s.csv"
    labels = "edema,=HYPERLINK(edema)"
    options = ["--engine", bundle, "--labels", labels, "--csv", table]
    scored = CliRunner().invoke(main, ["score", *map(str, [radiograph_path, *options])])
    assert scored.exit_code == 0, scored.output
    (row,) = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")))
    assert "'=HYPERLINK(edema)" in row and "=HYPERLINK(edema)" not in row
