"""How long an engine takes to open and how much memory it needs, measured in a process of its own.

A process that has already opened an engine has warm libraries and a grown heap, so neither figure can be
taken there.

    python -m alta_sdk.bench.cold_start NAME.alta RUNTIME THREADS [PUBKEY]
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import EngineError


@dataclass(frozen=True)
class ColdStart:
    """Seconds to open an engine, and the peak of resident memory after one score, in bytes."""

    load_s: float
    peak_bytes: int


def measure_cold_start(
    engine: str | os.PathLike[str], runtime: str, threads: int, trust: str | os.PathLike[str] | None = None
) -> ColdStart:
    """Open an engine and score one synthetic radiograph in a fresh process.

    Raises EngineError if that process fails.
    """
    command = [sys.executable, "-m", __name__, os.fspath(engine), runtime, str(threads)]
    command += [] if trust is None else [os.fspath(trust)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return ColdStart(**json.loads(done.stdout))
    except (ValueError, TypeError) as error:
        raise EngineError("engine cannot be opened in a process of its own: run alta doctor NAME.alta") from error


def read_peak_memory() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    if sys.platform == "linux":
        # Not getrusage: its figure survives exec, and so may be that of the process which started this one.
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    if sys.platform == "win32":
        return _read_peak_working_set()
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _read_peak_working_set() -> int:
    """Ask Windows (PROCESS_MEMORY_COUNTERS in psapi.h; resource does not exist there)."""
    import ctypes
    from ctypes import wintypes

    names = ("peak", "working_set", "quota_1", "quota_2", "quota_3", "quota_4", "pagefile", "peak_pagefile")

    class Counters(ctypes.Structure):
        _fields_ = [
            ("size", wintypes.DWORD),
            ("faults", wintypes.DWORD),
            *((name, ctypes.c_size_t) for name in names),
        ]

    counters = Counters(size=ctypes.sizeof(Counters))
    kernel: ctypes.CDLL = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    kernel.K32GetProcessMemoryInfo.argtypes = [wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD]
    kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.size)
    return int(counters.peak)


def main(engine: str, runtime: str, threads: str, trust: str | None = None) -> None:
    """Print the figures of this process as one JSON object."""
    from ..matching.matcher import Matcher
    from ..study.study import Study
    from .synthetic import choose_finding, make_grey

    start = time.perf_counter()
    matcher = Matcher(engine, runtime=runtime, threads=int(threads), trust=trust, audit=False)
    load_s = time.perf_counter() - start
    study = Study.from_images(make_grey(), intensity_profile=matcher.engine.manifest.intensity_profile)
    matcher.zero_shot(study, [choose_finding(matcher.engine)])
    print(json.dumps(asdict(ColdStart(load_s, read_peak_memory()))))


if __name__ == "__main__":
    main(*sys.argv[1:])
