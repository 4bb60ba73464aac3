"""The first run of an engine that nobody knows: its whole self-test, in a process of its own, under limits.

What a graph takes in memory and time is worked out before a back end sees it, but not what the back end makes of it,
nor what a TensorRT plan holds. Here it may take so much and no more; a process that is stopped takes nothing with it.
On a machine with a GPU the run is there; of its memory the process may take all.

    python -m alta_sdk.engine.trial NAME.alta [PUBKEY]
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alta_runtimes.choose import default_threads
from alta_runtimes.driver import probe_driver

from .. import errors
from ..errors import AltaError, EngineError
from ..files.limits import limit_memory
from .bundle import read_manifest
from .self_test import Drift
from .signature import TRUST_VARIABLE

PathLike = str | os.PathLike[str]
LIMITS = "ALTA_TRIAL_LIMITS"  # bytes of memory and seconds of processor time, for the process that is started
GIB = 1 << 30
MEMORY_BYTES, MEMORY_PER_BYTE = 4 * GIB, 8  # of the process, and for each byte of the bundle
CPU_S, CPU_S_PER_GIB = 120, 240
# The limit is of address space, of which each thread of a back end, of BLAS and of the allocator reserves its own: on
# a machine of many processors more than the whole limit, though none of it is used.
THREADS = 4
FEW = {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
WALL_TIMES = 4  # as many times the processor time on the clock, for machines that others use, too


def try_engine(path: PathLike, trust: PathLike | None = None, *, is_own: bool = False) -> list[Drift]:
    """Open an engine and run its whole self-test under limits; return how far this machine is from the reference.

    trust: as in `Engine.open`. is_own: this program has just written it, and nobody has signed it yet.
    Raises EngineError if it does not open, or takes more than `MEMORY_BYTES` and `CPU_S` allow.
    """
    memory, cpu_s = choose_limits(path)
    command = [sys.executable, "-m", __name__, os.fspath(path), *([os.fspath(trust)] if trust is not None else [])]
    environment = {name: value for name, value in os.environ.items() if not (is_own and name == TRUST_VARIABLE)}
    environment |= FEW | {
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        LIMITS: f"{memory} {cpu_s}",
    }
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=WALL_TIMES * cpu_s,
            check=False,
        )
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise EngineError(
            f"engine was stopped in its first run: more than {memory / GIB:.0f} GiB of memory or {cpu_s} s of "
            "processor time; do not use it"
        ) from error
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
    return [Drift(**drift) for drift in answer["drifts"]]


def choose_limits(path: PathLike) -> tuple[int, int]:
    """Return the bytes of memory and the seconds of processor time that an engine's first run may take."""
    size = sum(file.size for file in read_manifest(path).files)
    return MEMORY_BYTES + MEMORY_PER_BYTE * size, CPU_S + CPU_S_PER_GIB * size // GIB


def main(path: str, trust: str | None = None) -> None:
    """Take the limits, open the engine, and print what came of it as one line of JSON."""
    from .engine import Engine

    memory, cpu_s = map(int, os.environ[LIMITS].split())
    limit_memory(memory, reserves=probe_driver().is_usable)
    limit_time(cpu_s)
    try:
        engine = Engine.open(Path(path), trust=trust, threads=min(THREADS, default_threads()))
        answer: dict[str, Any] = {"drifts": [asdict(drift) for drift in engine.run_self_test()]}
    except AltaError as error:
        kind = next(name for kind in type(error).__mro__ if (name := kind.__name__) in errors.__all__)
        answer = {"error": kind, "message": str(error)}
    print(json.dumps(answer), flush=True)


def limit_time(cpu_s: int) -> None:
    """Let this process use no more than so many seconds of processor time; Windows leaves that to the clock."""
    if sys.platform == "win32":
        return
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    except (OSError, ValueError):  # a lower limit is set from outside: that one holds
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
