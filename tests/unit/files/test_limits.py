"""What a limit of memory counts: addresses, or, for a process that reserves many, what may hold data."""

import subprocess
import sys

import pytest

from alta_sdk.files import limits

# Reserves addresses that nothing may touch, as CUDA does when it starts, then asks for memory to use.
PROGRAM = """
import mmap, runpy, sys
limit_memory = runpy.run_path(sys.argv[1])["limit_memory"]
limit_memory(256 << 20, reserves=sys.argv[2] == "True")

def take(size, **how):
    try:
        return mmap.mmap(-1, size, **how) and "taken"
    except OSError:
        return "refused"

print(take(16 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=0), end=" ")
print(take(64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), end=" ")
print(take(512 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="MAP_NORESERVE and RLIMIT_DATA as Linux has them")
@pytest.mark.parametrize(("reserves", "taken"), [(False, "refused taken refused"), (True, "taken taken refused")])
def test_a_process_that_reserves_addresses_is_held_to_its_data(reserves, taken):
    command = [sys.executable, "-c", PROGRAM, limits.__file__, str(reserves)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == taken
