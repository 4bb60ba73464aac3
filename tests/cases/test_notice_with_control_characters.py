"""Case notice-with-control-characters: texts of a bundle that clear a terminal, set its title and hide the rest."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import pytest

from alta_sdk.engine.manifest import parse_manifest

NOTICE = "\x1b[2J\x1b[1;1Hcleared for clinical use\x1b[8m"
NAME = "x\x1b]0;title\x07"
OTHERS = ["one\nStudyError: two", "\x9b2J", "\u202eesu lacinilc rof", "a\rb", "\x00\x7f"]
FORBIDDEN = [chr(one) for one in (*range(10), 11, 12, *range(14, 32), *range(127, 160), *range(0x202A, 0x202F))]
# \r\n is how a terminal ends lines


@pytest.fixture(scope="module")
def forged(bundle, tmp_path_factory):
    """The engine with control characters in every text of its manifest, sealed again."""
    folder = shutil.copytree(bundle, tmp_path_factory.mktemp("forged") / "forged.alta")
    manifest = parse_manifest((folder / "manifest.json").read_bytes())
    texts = {name: NOTICE for name in ("intended_use", "licence", "training_data", "method", "created", "sdk_version")}
    changed = dataclasses.replace(manifest, name=NAME, notices=(NOTICE, *OTHERS), **texts)
    (folder / "manifest.json").write_bytes(changed.render())
    assert json.loads((folder / "manifest.json").read_bytes())["notices"][0] == NOTICE
    return folder


def run_on_terminal(*arguments):
    """Run alta on a terminal of its own and return the exit code and what reaches it."""
    import pty

    reader, writer = pty.openpty()
    code = "import alta_start; alta_start.alta()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdin=writer, stdout=writer, stderr=writer, env={**os.environ, "TERM": "dumb"})
    os.close(writer)
    shown = b""
    while True:
        try:
            part = os.read(reader, 1 << 16)
        except OSError:  # Linux says EIO when the last writer has closed
            break
        if not part:
            break
        shown += part
    os.close(reader)
    return process.wait(), shown.decode("utf-8")


def assert_harmless(shown):
    assert not [one for one in FORBIDDEN if one in shown], ascii(shown)
    assert not any(line.startswith("StudyError: two") for line in shown.splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_nothing_of_it_reaches_the_terminal_as_control(forged, radiograph_path, tmp_path):
    reports = tmp_path / "reports.txt"
    reports.write_text("There is edema.\n\x1b[2JCleared.\n", encoding="utf-8")
    read = ["--engine", forged]
    for arguments in (
        ["score", radiograph_path, *read, "--labels", "edema,", "--html", tmp_path / "page.html"],
        ["locate", radiograph_path, *read, "--phrase", "edema"],
        ["rank", radiograph_path, *read, "--reports", reports, "--show-text"],
        ["inspect", forged],
        ["doctor", forged],
    ):
        code, shown = run_on_terminal(*arguments)
        assert_harmless(shown)
        assert code in (0, 1)
        assert code == 1 or r"\x1b" in shown
    if (tmp_path / "page.html").exists():
        assert_harmless((tmp_path / "page.html").read_text(encoding="utf-8").replace("\n", ""))


@pytest.mark.skipif(sys.platform == "win32", reason="names that Windows does not allow")
def test_names_of_files_and_columns_reach_no_terminal_as_control(bundle, radiograph_path, tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    shutil.copy(radiograph_path, folder / "a\x1b[2J\nStudyError: two.jpg")
    (folder / "b\u202e.dcm").write_bytes(b"no study")
    for arguments in (
        ["embed", folder, "--engine", bundle, "--out", tmp_path / "a.index", "--with-identifiers"],
        ["--debug", "score", folder, "--engine", bundle, "--labels", "a\x1b[2J,b"],
        ["calibrate", folder / "a\x1b[2J.csv", "--engine", bundle, "--label", "a\x1b[2J"],
        ["score", "x", "--engine", f"{bundle}\x1b[2J", "--labels", "edema,"],
        ["scor\x1b[2J"],
    ):
        assert_harmless(run_on_terminal(*arguments)[1])
