"""A short slice of the fault harness; the whole of it is run by hand (docs/reliability.md)."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_killed_process_leaves_the_old_state_or_the_new(bundle, tmp_path):
    command = [sys.executable, str(Path(__file__).with_name("kill_at_random.py")), "--times", "12"]
    more = ["--operations", "index,calibrate,embed", "--engine", str(bundle)]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line.split()[0]: [int(cell) for cell in line.split()[1:]] for line in done.stdout.splitlines()[1:4]}
    assert set(rows) == {"index", "calibrate", "embed"}
    assert all(killed + ended == old + new == 4 and neither == 0 for killed, ended, old, new, neither in rows.values())
    assert rows["index"][0] == rows["calibrate"][0] == 4, "these work until they are killed"
