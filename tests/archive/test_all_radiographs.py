"""Every way of making an archive, on all radiographs of the shared data: the same bits as the index."""

import os
import subprocess
import sys

import pytest
from conftest import DATA_DIR, ROOT

RADIOGRAPHS = DATA_DIR / "nih_cxr" / "images"


@pytest.mark.skipif(not RADIOGRAPHS.is_dir(), reason="shared data absent")
@pytest.mark.skipif(os.environ.get("ALTA_ARCHIVE_TESTS") != "1", reason="minutes long: set ALTA_ARCHIVE_TESTS=1")
def test_archives_of_all_radiographs_are_the_index_to_the_last_bit(bundle):
    program = ROOT / "benchmarks" / "archive_bits.py"
    command = [sys.executable, program, "--engine", bundle, "--studies", RADIOGRAPHS]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()[1:]] == ["local", "ray", "dask", "shard"]
