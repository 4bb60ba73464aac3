"""A cold `alta score` of one made-up DICOM study, from the start of its process to its end, by engine and runtime.

All alternate, each in a process of its own, which begins as the command `alta` does. Python finds its compiled modules
as pip leaves them (here in a folder for the time being), and the first round, which writes them, does not count. Beside
that, one process holds each engine after a score, a second one does the same, and of the second one is told what memory
is its own (private pages, of Linux): what two of them share is there once.

"Per core" is processor time over the processors that the command may use: what each would have worked if the work had
been shared evenly. It moves little with what else the machine does. The clock tells more on an idle machine, since most
of a start is the work of one core.

    python benchmarks/cold_start.py demo.alta int8.alta [--runtime onnxruntime] [--rounds 7] [--threads 2] [--json]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from alta_runtimes.choose import default_threads
from alta_sdk.bench.synthetic import make_frontal, make_grey
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_table
from alta_sdk.engine.bundle import read_manifest
from alta_sdk.engine.environment import processor_name

DEFAULT = "the chosen one"
PUBLISHED_WIDTH = 768
MIB = 1 << 20
# The command as its script starts it. Of another runtime than the chosen one: what chooses is replaced.
SCORE = """
import atexit, os, sys
runtime, told = sys.argv[1:3]
del sys.argv[1:3]
def tell():
    from alta_sdk.bench.cold_start import read_peak_memory
    with open(told, "w") as file:
        file.write(str(read_peak_memory()))
from alta_start import alta
if runtime:
    from alta_sdk.engine import sessions
    sessions.choose_runtime = lambda *_: (runtime, "asked for")
atexit.register(tell)
alta()
"""
HOLD = """
import sys
from alta_sdk import Matcher
matcher = Matcher(sys.argv[1], runtime=sys.argv[2] or None, threads=int(sys.argv[3]), audit=False)
matcher.zero_shot(sys.argv[4], sys.argv[5])
print("held", flush=True)
sys.stdin.readline()
"""


@dataclass(frozen=True)
class Case:
    """An engine in a runtime; runtime: None for the one that is chosen. labels: what is asked, which it knows."""

    engine: Path
    runtime: str | None
    labels: str

    @property
    def name(self) -> str:
        """What it is called in the table."""
        return f"{self.engine.stem}, {self.runtime or DEFAULT}"


@dataclass(frozen=True)
class Start:
    """One cold command: seconds of processor and clock, and the peak of its resident memory in bytes."""

    processor_s: float
    wall_s: float
    peak_bytes: int


def write_study(path: Path) -> None:
    """Write one uncompressed radiograph of 2048 × 2500 pixels and 12 bits."""
    stored = (12 * make_grey().astype(np.uint16)).astype(np.uint16)
    stored[100:180, 100:160] = 4095  # a marker
    make_frontal(stored).save_as(path, enforce_file_format=True)


def start_cold(case: Case, study: Path, threads: int, environment: dict[str, str]) -> Start:
    """Run `alta score` once and measure it, its own processes included."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "peak")
        command = [sys.executable, "-c", SCORE, case.runtime or "", str(told), "score", str(study)]
        command += ["--engine", str(case.engine), "--labels", case.labels, "--threads", str(threads)]
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise click.ClickException(f"alta score failed with {case.name}: try it by hand")
        return Start(used.ru_utime + used.ru_stime, wall_s, int(told.read_text()))


def measure_second(case: Case, study: Path, threads: int, environment: dict[str, str]) -> int | None:
    """Return the private bytes of a process that holds an engine beside another one; None where nobody tells."""
    if not Path("/proc/self/smaps_rollup").exists():
        return None
    command = [sys.executable, "-c", HOLD, str(case.engine), case.runtime or "", str(threads), str(study), case.labels]
    holders: list[subprocess.Popen[str]] = []
    try:
        for _ in range(2):
            holders.append(
                subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            held = holders[-1].stdout
            if held is None or held.readline().strip() != "held":
                raise click.ClickException(f"{case.name} cannot be held: score with it by hand")
        lines = Path(f"/proc/{holders[1].pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
    finally:
        for holder in holders:
            holder.communicate()  # the end of its input ends it


def measure(cases: list[Case], rounds: int, threads: int) -> list[dict[str, Any]]:
    """Return a row of figures for each case, medians of rounds in turn."""
    starts: dict[str, list[Start]] = {case.name: [] for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder, "one.dcm")
        write_study(study)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = str(Path(folder, "compiled"))
        for number in range(rounds + 1):
            for case in cases:
                start = start_cold(case, study, threads, environment)
                if number:  # the first compiles modules and fills the page cache
                    starts[case.name].append(start)
        private = {case.name: measure_second(case, study, threads, environment) for case in cases}
    return [describe(case, starts[case.name], private[case.name], min(threads, default_threads())) for case in cases]


def describe(case: Case, starts: list[Start], private: int | None, processors: int) -> dict[str, Any]:
    """Return one row; targets: those that its engine has, met or not."""
    processor_s = statistics.median(one.processor_s for one in starts)
    row: dict[str, Any] = {
        "engine": case.engine.stem,
        "runtime": case.runtime or DEFAULT,
        "processor_s": round(processor_s, 2),
        "per_core_s": round(processor_s / processors, 2),
        "wall_s": round(statistics.median(one.wall_s for one in starts), 2),
        "wall_min_s": round(min(one.wall_s for one in starts), 2),
        "peak_mib": round(statistics.median(one.peak_bytes for one in starts) / MIB),
        "second_private_mib": None if private is None else round(private / MIB),
    }
    manifest = read_manifest(case.engine)
    targets: dict[str, bool] = {}
    if manifest.name == "demo" and case.runtime is None:
        targets["0.6 s per core"] = row["per_core_s"] <= 0.6
    is_int8 = manifest.engine["precision"] == "int8" and manifest.sizes.get("image_width") == PUBLISHED_WIDTH
    if is_int8 and case.runtime is None:
        targets["1.2 s per core"] = row["per_core_s"] <= 1.2
        targets["peak of 320 MiB"] = row["peak_mib"] <= 320
        targets["second process 150 MiB"] = private is not None and row["second_private_mib"] <= 150
    return {**row, "targets": {f"{row['engine']}: {name}": met for name, met in targets.items()}}


@click.command()
@click.argument("engines", metavar="NAME.alta...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--runtime", "runtimes", multiple=True, help="Also in this one; may be given again.")
@click.option("--labels", default="chexpert5", show_default=True, help="What is asked: a label set of the engines.")
@click.option("--rounds", default=7, show_default=True, help="Counted starts of each.")
@click.option("--threads", default=default_threads(), show_default=True, help="Threads of the engine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@fail_in_one_line
def main(
    engines: tuple[Path, ...], runtimes: tuple[str, ...], labels: str, rounds: int, threads: int, as_json: bool
) -> None:
    """Measure cold starts of engines."""
    cases = [Case(engine.resolve(), one, labels) for engine in engines for one in (None, *runtimes)]
    rows = measure(cases, rounds, threads)
    targets = {name: met for row in rows for name, met in row["targets"].items()}
    facts = {"processor": processor_name(), "processors": default_threads(), "threads": threads, "rounds": rounds}
    if as_json:
        click.echo(json.dumps({**facts, "rows": rows, "targets_met": all(targets.values())}, indent=1))
        return
    names = [name for name in rows[0] if name != "targets"]
    print_table(
        "A cold alta score of one study",
        [name.replace("_", " ") for name in names],
        [tuple("–" if row[name] is None else row[name] for name in names) for row in rows],
    )
    print_facts("Measured in one run, in turn", facts.items())
    print_facts("Targets", [(name, "met" if met else "MISSED") for name, met in targets.items()])


if __name__ == "__main__":
    main()
