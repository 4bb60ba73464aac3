"""Feed broken files to Study: each gives a Study or an AltaError, in bounded time and memory.

    python tests/fuzz/fuzz_dicom.py --count 20000 --seed 0
    python tests/fuzz/fuzz_dicom.py --count 300 --seed 0 --large

DICOM, JPEG and PNG files, alone, in archives and in folders with what is no file; with --large DICOM files of 1 MiB
to 1 GiB. Case NUMBER of a seed is always the same file, whatever runs before it: `--first NUMBER --count 1` runs
one alone. Time is that of the processors, of the decoders too. Cases run in child processes, so that a crash or a
hang is counted and the rest goes on.
Exit code 1 if any case broke the promise; memory is measured on Linux only.
"""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is also run as a program
from fuzz.cases import Input, make_case, make_large_case  # noqa: E402
from fuzz.large_files import write_large  # noqa: E402
from fuzz.seeds import load_seeds  # noqa: E402
from fuzz.wrappings import alone  # noqa: E402

from alta_sdk import AltaError  # noqa: E402
from alta_sdk.study.study import load_study  # noqa: E402

LIMIT_S = 5.0
LIMIT_MIB = 1024.0
HANG_S = 120.0


@dataclass(frozen=True)
class Case:
    """One broken file and what came of it. outcome: "Study" or the kind of error; broken: promises it broke."""

    number: int
    seed: str
    mutations: list[str]
    outcome: str
    message: str
    seconds: float
    mib: float
    broken: list[str]


def run_cases(seed: int, first: int, count: int, *, large: bool = False) -> Iterator[Case]:
    """Run cases in this process."""
    seeds = load_seeds()
    for number in range(first, first + count):
        one = (make_large_case if large else make_case)(seeds, seed, number)
        folder = Path(tempfile.mkdtemp(prefix="alta-fuzz-"))
        try:
            if one.zeros:
                path = folder / "large.dcm"
                write_large(path, one.data, one.zeros)
            else:
                path = one.wrap(np.random.default_rng([seed, number, 2]), one.data, folder)
            yield _run_case(path, number, one)
        finally:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder, however deep: shutil's way is recursive."""
    found = [str(folder)]
    for place in found:
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    found.append(entry.path)
                else:
                    os.unlink(entry.path)
    for place in reversed(found):
        os.rmdir(place)


def _run_case(path: Path, number: int, one: Input) -> Case:
    broken: list[str] = []
    _reset_peaks()
    printed = io.StringIO()
    start = _used_seconds()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stderr(printed):
        with contextlib.redirect_stdout(printed):
            outcome, message = _read(path, one.options, broken)
    seconds, mib = _used_seconds() - start, _peak_mib()
    if caught or printed.getvalue():
        broken.append("something was printed or warned of")
    if any(mark in message for mark in one.seed.marks):
        broken.append("a header value leaked")
    if "\n" in message:
        broken.append("a message of more than one line")
    if seconds > LIMIT_S:
        broken.append(f"longer than {LIMIT_S:.0f} s")
    if mib > LIMIT_MIB:
        broken.append(f"more than {LIMIT_MIB:.0f} MiB")
    names = one.mutations if one.wrap is alone else [*one.mutations, one.wrap.__name__]
    return Case(number, one.seed.name, names, outcome, re.sub(r"\d+", "N", message), seconds, mib, broken)


def _read(path: Path, options: dict[str, object], broken: list[str]) -> tuple[str, str]:
    try:
        load_study(path, **options)  # type: ignore[arg-type]
    except AltaError as error:
        return type(error).__name__, str(error)
    except BaseException as error:  # this is what is looked for
        broken.append(f"{type(error).__name__} is no AltaError")
        return type(error).__name__, ""
    return "Study", ""


def _processes() -> list[int]:
    """Return this process and its workers; none where /proc is not."""
    with contextlib.suppress(OSError):
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
        return [os.getpid(), *map(int, children)]
    return []


def _used_seconds() -> float:
    """Return the processor time of this process and its workers, those that have ended too."""
    used = os.times()
    total = used.user + used.system + used.children_user + used.children_system
    for process in _processes()[1:]:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2]
            total += sum(map(int, fields.split()[11:13])) / os.sysconf("SC_CLK_TCK")
    return total


def _reset_peaks() -> None:
    for process in _processes():
        with contextlib.suppress(OSError):
            Path(f"/proc/{process}/clear_refs").write_text("5", encoding="ascii")


def _peak_mib() -> float:
    """Return the sum of the peaks of resident memory since the last reset, this process and its workers."""
    total = 0
    for process in _processes():
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
            total += int((re.search(r"VmHWM:\s+(\d+)", status) or ["", "0"])[1])
    return total / 1024


def _confirm_slow(case: Case, seed: int, large: bool) -> Case:
    """Run a case that took too long again, alone: the limit is on the work, not on what else the machine does."""
    if not any("longer" in promise for promise in case.broken):
        return case
    return next(run_in_children(seed, case.number, 1, large))


def run_in_children(seed: int, first: int, count: int, large: bool) -> Iterator[Case]:
    """Run cases in a child process, and go on in a new one behind a case that ends it."""
    end = first + count
    while first < end:
        command = [sys.executable, "-X", "faulthandler", __file__, "--seed", str(seed), "--child"]
        command += ["--first", str(first), "--count", str(end - first), *(["--large"] if large else [])]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        assert child.stdout is not None
        while True:
            alarm = threading.Timer(HANG_S, child.kill)
            alarm.start()
            line = child.stdout.readline()
            alarm.cancel()
            if not line:
                break
            yield Case(**json.loads(line))
            first += 1
        if child.wait() and first < end:
            broken = [f"the process ended with {child.returncode}, or hung for {HANG_S:.0f} s"]
            yield Case(first, "", [], "crash", "", 0.0, 0.0, broken)
            first += 1


@click.command()
@click.option("--count", default=20_000, show_default=True, type=click.IntRange(min=1), help="Files to try.")
@click.option("--seed", default=0, show_default=True, help="Of the random numbers.")
@click.option("--first", default=0, show_default=True, help="The first case.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Processes at a time.")
@click.option("--report", type=click.Path(path_type=Path), help="A file to list every case in, a JSON object a line.")
@click.option("--large", is_flag=True, help="Start from files of 1 MiB to 1 GiB.")
@click.option("--child", is_flag=True, hidden=True)
def main(count: int, seed: int, first: int, jobs: int, report: Path | None, large: bool, child: bool) -> None:
    """Try broken files and print what came of them."""
    if child:
        out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        for case in run_cases(seed, first, count, large=large):
            print(json.dumps(asdict(case)), file=out, flush=True)
        return
    start = time.perf_counter()
    ends = [first + count * job // jobs for job in range(jobs + 1)]
    with ThreadPoolExecutor(jobs) as pool:
        parts = pool.map(lambda start, end: list(run_in_children(seed, start, end - start, large)), ends, ends[1:])
        cases = [case for part in parts for case in part]
    seconds = time.perf_counter() - start
    again = [_confirm_slow(case, seed, large) for case in cases]
    show(again, seconds)
    slow = sum(case is not other for case, other in zip(cases, again, strict=True))
    print(f"run again, alone, since they took over {LIMIT_S:.0f} s while others ran: {slow}")
    if report is not None:
        report.write_text("".join(json.dumps(asdict(case)) + "\n" for case in again), encoding="utf-8")
    cases = again
    sys.exit(any(case.broken for case in cases))


def show(cases: list[Case], seconds: float) -> None:
    """Print counts by outcome and message, the slowest, the largest, and every broken promise."""
    print(f"{len(cases)} files in {seconds:.0f} s, {Counter(bool(case.mutations) for case in cases)[False]} unchanged")
    for outcome, number in Counter(case.outcome for case in cases).most_common():
        print(f"  {number:6} {outcome}")
    for message, number in Counter(case.message for case in cases if case.message).most_common():
        print(f"  {number:6} {message}")
    slowest, largest = max(cases, key=lambda c: c.seconds), max(cases, key=lambda c: c.mib)
    print(f"slowest: {slowest.seconds:.2f} s, case {slowest.number} ({slowest.seed}, {', '.join(slowest.mutations)})")
    print(f"largest: {largest.mib:.0f} MiB, case {largest.number} ({largest.seed}, {', '.join(largest.mutations)})")
    failed = [case for case in cases if case.broken]
    print(f"broken promises: {len(failed)}")
    for case in failed:
        print(f"  case {case.number} ({case.seed}, {', '.join(case.mutations)}): {'; '.join(case.broken)}")


if __name__ == "__main__":
    main()
