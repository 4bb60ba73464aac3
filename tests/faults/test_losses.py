"""A short slice of what counts losses; the whole of it is run by hand (docs/reliability.md)."""

import subprocess
import sys
from pathlib import Path

QUICK = "score --csv,rank --write-index,alta-export --output,fit.py --output,pair.py --output"


def test_nothing_is_lost_to_another_process_or_to_overwrite(bundle):
    command = [sys.executable, str(Path(__file__).with_name("count_losses.py")), "--engine", str(bundle)]
    more = ["--updates", "24", "--foreign", "3", "--commands", QUICK]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    rounds = {line[:28].strip(): line[28:].split() for line in lines[1:6]}
    assert rounds == {"calibrate": ["8", "0"]} | {kind: ["4", "0"] for kind in ("file", "folder", "site key", "index")}
    refused = {line[:28].strip(): line[28:].split() for line in lines[7:-1]}
    assert refused == {name: ["3", "3", "0"] for name in QUICK.split(",")}
    assert lines[-1] == "lost: 0"
