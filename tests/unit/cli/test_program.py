"""How every command ends: one line without a path, and the exit codes 0, 1, 2 and 130."""

import errno
import logging
import os
import re
import sys

import click
import pytest
from click.testing import CliRunner
from conftest import ROOT

from alta_export.cli import main as alta_export
from alta_sdk import StudyError
from alta_sdk.cli import main as alta
from alta_sdk.cli.program import Program, hide_values
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_line, print_table, say

MARK = "DOE_JANE"
PLACE = f"/data/{MARK}/1.dcm"


def end_with(error, wrapped):
    def work():
        if error is not None:
            raise error

    return CliRunner().invoke(click.command(cls=Program)(fail_in_one_line(work) if wrapped else work))


@pytest.mark.parametrize("wrapped", [True, False], ids=["in the command", "around it"])
@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (StudyError("study is empty: give one"), 1, "StudyError: study is empty: give one"),
        (OSError(errno.EACCES, "Permission denied", PLACE), 1, "OSError: a file cannot be read or written: Permission"),
        (OSError(errno.ENOSPC, MARK, PLACE, None, PLACE), 1, "OSError: a file cannot be read or written: No space"),
        (OSError(f"cannot identify {PLACE}"), 1, "OSError: a file cannot be read or written: OSError"),
        (MemoryError(MARK), 1, "MemoryError: not enough memory"),
        (
            RuntimeError(f"DefaultCPUAllocator: can't allocate memory {MARK}"),
            1,
            "MemoryError: not enough",
        ),
        (RuntimeError(f"std::bad_alloc {MARK}"), 1, "MemoryError: not enough memory"),
        (RecursionError(MARK), 1, "RecursionError: not foreseen"),
        (ValueError(PLACE), 1, "ValueError: not foreseen; ALTA_DEBUG=1 in the environment shows where"),
        (KeyError(MARK), 1, "KeyError: not foreseen"),
        (ImportError(PLACE, name="gdcm", path=PLACE), 1, "ImportError: gdcm cannot be imported"),
        (KeyboardInterrupt(), 130, "interrupted: nothing was left half-written"),
    ],
)
def test_whatever_is_raised_is_one_line_without_a_path(error, code, line, wrapped):
    done = end_with(error, wrapped)
    assert done.exit_code == code and done.stdout == ""
    (shown,) = [one for one in done.stderr.splitlines() if one]
    assert shown.startswith(line)
    assert MARK not in done.output and "Traceback" not in done.output


def test_what_ends_well_exits_with_0():
    assert end_with(None, True).exit_code == 0
    assert end_with(click.exceptions.Exit(3), False).exit_code == 3


def test_where_an_error_comes_from_is_shown_if_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("ALTA_DEBUG", "1")
    done = end_with(ValueError("\x1b[2J"), True)
    assert "Traceback" in done.stderr and r"\x1b[2J" in done.stderr and "\x1b" not in done.stderr


def test_the_debug_log_is_spelled(capsys):
    code = (
        "import logging; from alta_sdk.cli.terminal import show_debug_log; show_debug_log();"
        "logging.getLogger('alta_sdk').debug('read %s', 'a\\x1b[2J\\nb')"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "alta_sdk: read a\\x1b[2J\\nb\n"
    assert not logging.getLogger("alta_sdk").isEnabledFor(logging.DEBUG)


MISUSES = [
    ["score", PLACE, "--engine", "x", "--labels", "a,b", "--csv", os.fspath(ROOT)],
    ["score", PLACE, "--engine", "x", "--labels", "a,b", f"--csv={ROOT}"],
    ["score", PLACE, "--engine", "x", "--labels", "a,b", "--threads", PLACE],
    ["score", PLACE, "--engine", "x", "--labels", "a,b", f"--fusion-mode={PLACE}"],
    ["score", f"--{PLACE}"],
    ["score", f"-{PLACE}"],
    ["score", PLACE, f"--labells={PLACE}"],
    ["inspect", PLACE, PLACE, MARK],
    ["inspect", "--json=" + PLACE, PLACE],
    ["bench", "x.alta", "--rounds", MARK],
    [PLACE],
    [MARK, PLACE],
    ["--debug", PLACE],
]


@pytest.mark.parametrize("given", MISUSES, ids=range(len(MISUSES)))
def test_wrong_usage_quotes_nothing_that_was_given(given):
    done = CliRunner().invoke(alta, given)
    assert done.exit_code == 2, done.output
    assert MARK not in done.output and os.fspath(ROOT) not in done.output
    assert "Error: " in done.stderr


def test_wrong_usage_of_an_export_quotes_nothing_that_was_given():
    for given in ([PLACE], ["build", PLACE, PLACE], ["--precision", PLACE], ["--image-heads", PLACE]):
        done = CliRunner().invoke(alta_export, given)
        assert done.exit_code == 2 and MARK not in done.output, done.output


def test_what_is_hidden_and_what_is_not():
    assert hide_values("No such option: --treads", ["--treads"]) == "No such option: --treads"
    assert hide_values("'a' is not one of 'ab', 'b'", ["a"]) == "'…' is not one of 'ab', 'b'"
    assert hide_values("unexpected (/a/b\\n /c)", ["/a/b\n", "/c"]) == "unexpected (… …)"


def test_a_call_without_arguments_shows_the_help():
    done = CliRunner().invoke(alta, [])
    assert "Usage:" in done.output and "Commands:" in done.output and "\\n" not in done.output


def test_texts_of_strangers_are_spelled_wherever_they_are_shown(capsys):
    bad = "a\x1b[2J\nb\u202e"
    say(bad)
    print_line(bad)
    print_facts(bad, [(bad, bad)])
    print_table(bad, [bad, bad], [[bad, bad]])
    shown = "".join(capsys.readouterr())
    assert "\x1b" not in shown and "\u202e" not in shown and shown.count(r"a\x1b[2J\nb\u202e") == 10


def test_no_command_prints_past_the_one_place():
    allowed = re.compile(r"click\.echo\((json\.dumps\(|os\.fsencode\(package\.engine\)\)|\n|\"↑)")
    for folder in ("alta_sdk", "export", "training"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if path.name not in ("terminal.py",):
                rest = allowed.sub("", text)
                assert "click.echo(" not in rest and "click.secho(" not in rest, path


def test_a_full_disk_at_the_end_of_the_output_is_one_line(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no C compiler")  # pragma: no cover
    import subprocess

    code = "import alta_start; alta_start.alta()"
    for given in (["doctor"], ["--help"], ["doctor", "--json"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([sys.executable, "-c", code, *given], stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith("OSError: ") and "No space" in done.stderr and done.stderr.count("\n") == 1


def test_a_path_without_rights_is_no_wrong_usage(tmp_path, monkeypatch):
    (tmp_path / MARK).mkdir()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # root may read everything
    for given in (["inspect", tmp_path / MARK], ["rank", "x", "--engine", tmp_path, "--reports", tmp_path / MARK]):
        done = CliRunner().invoke(alta, [str(one) for one in given])
        assert done.exit_code == 1 and MARK not in done.output, done.output
        assert done.stderr.count("\n") == 1
