"""A slice of kill_service.py, which kills a service 200 times."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("kill_service.py")


def test_kills_at_random_moments_lose_nothing_and_double_nothing(tmp_path, bundle):
    given = ["--engine", bundle, "--folder", tmp_path, "--kills", "6", "--seed", "1"]
    done = subprocess.run([sys.executable, PROGRAM, *given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost 0, doubled under different UIDs 0, stuck 0" in done.stdout
