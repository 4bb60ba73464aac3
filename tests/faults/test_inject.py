"""A short slice of the error injection; the whole of it is run by hand (docs/reliability.md)."""

import subprocess
import sys
from pathlib import Path

import pytest
from faults.inject_errors import KINDS, End, Trial, find_library, judge


def test_a_call_that_fails_is_told_in_one_line(bundle, tmp_path):
    try:
        find_library(tmp_path)
    except FileNotFoundError:
        pytest.skip("no C compiler to make the library that lets calls fail")
    command = [sys.executable, str(Path(__file__).with_name("inject_errors.py")), "--engine", str(bundle)]
    more = ["--times", "42", "--starts", "3", "--commands", "score,embed,inspect"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line.split()[0]: [int(cell) for cell in line.split()[1:]] for line in done.stdout.splitlines()[1:]}
    assert tuple(rows) == KINDS
    assert sum(map(sum, rows.values())) == 45
    assert sum(cells[0] for cells in rows.values()) > 15, "most failures reach the command"
    assert not any(cells[-1] for cells in rows.values())


@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        (End(0, "whole", "notice\n"), "same"),
        (End(0, "other", "notice\n"), "RAW"),
        (End(1, "", "notice\nStudyError: study cannot be read\n"), "told"),
        (End(1, "", "notice\n"), "told nobody"),
        (End(1, "", "Traceback (most recent call last):\n"), "RAW"),
        (End(1, "", "OSError: No such file: /home/DOE_JANE\n"), "RAW"),
        (End(1, "", "segmentation something\n"), "RAW"),
        (End(130, "", "interrupted: nothing\n"), "RAW"),
        (End(-11, "", ""), "RAW"),
        (End(120, "whole", ""), "RAW"),
    ],
)
def test_how_an_end_is_judged(end, verdict):
    assert judge(Trial("score", "EIO", 1), end, End(0, "whole", "notice\n")).startswith(verdict)
