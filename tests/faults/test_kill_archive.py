"""A short slice of the kills of `kill_archive.py`; the whole of it is run by hand (docs/archive.md)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.skipif(os.environ.get("ALTA_ARCHIVE_TESTS") != "1", reason="minutes long: set ALTA_ARCHIVE_TESTS=1")
@pytest.mark.parametrize("engine", ["local", "dask", "ray"])
def test_killed_workers_and_drivers_lose_nothing_and_double_nothing(engine, bundle):
    command = [sys.executable, str(Path(__file__).with_name("kill_archive.py")), "--times", "8", "--on", engine]
    done = subprocess.run([*command, "--engine", str(bundle)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *rows, last = done.stdout.splitlines()
    assert all(re.match(r"200 rows: 0 lost, 0 doubled, 0 wrong;", row) for row in rows) and rows
    assert last.startswith(f"{engine}: killed ")
