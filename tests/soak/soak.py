"""Many studies through one Matcher with many threads: does memory grow, and are scores always the same?

Studies of one to four radiographs come back in random order, from memory, from DICOM files and in lists, more
of them than the cache holds, so that vectors are computed, found and dropped all the time. The first scores of
each study are kept, and every later ones must equal them to the last bit. Resident memory is read while the
threads work; warm-up is the first fifth.

    python tests/soak/soak.py NAME.alta [--studies 20000] [--threads 8] [--json]

Exits with 1 if a score differed or memory grew by 2 % or more. Reads /proc, so it runs on Linux.
"""

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from alta_sdk import Matcher, Study
from alta_sdk.bench.synthetic import make_frontal
from alta_sdk.cli.terminal import print_facts

LABELS = ["edema", "pneumonia", "cardiomegaly"]
MAX_GROWTH = 0.02
SAMPLES = 200  # readings of the memory
FILES = 20  # of the distinct studies, those that are DICOM files


@dataclass(frozen=True)
class SoakReport:
    """What was found.

    studies: scored, lists included. differing: scores unlike the first of the same study. fifths_mib: median
    resident memory of each fifth of the run, of which the first is warm-up. growth: from the second to the last.
    """

    studies: int
    distinct: int
    threads: int
    differing: int
    fifths_mib: tuple[float, ...]
    growth: float
    studies_per_second: float


class Soak:
    """The state that the threads share."""

    def __init__(self, matcher: Matcher, folder: Path, studies: int, distinct: int) -> None:
        """Plan `studies` scores of `distinct` studies; DICOM files are written into the folder."""
        self.matcher = matcher
        self.plan = iter(np.random.default_rng(1).integers(0, distinct, studies).tolist())
        self.known = np.full((distinct, len(LABELS)), np.nan)
        self.paths = [write_file(folder / f"{number}.dcm", number) for number in range(min(FILES, distinct))]
        self.done = self.differing = 0
        self.readings: list[tuple[int, float]] = []  # studies done, resident memory in MiB
        self.every = max(1, studies // SAMPLES)
        self.lock = threading.Lock()
        self.errors: list[BaseException] = []

    def work(self) -> None:
        """Score studies until the plan is empty; run in each thread."""
        try:
            while True:
                with self.lock:
                    number = next(self.plan, None)
                if number is None or self.errors:
                    return
                self.check(number)
        except BaseException as error:
            self.errors.append(error)

    def check(self, number: int) -> None:
        """Score one study, every tenth in a list with a file, and compare with what is known of it."""
        if number % 10:
            found = {number: self.matcher.zero_shot(self.study(number), LABELS)}
        else:
            numbers = [number, number % len(self.paths)]
            results = self.matcher.zero_shot([self.study(one) for one in numbers], LABELS)
            found = dict(zip(numbers, results, strict=True))
        with self.lock:
            for one, result in found.items():
                scores = [result.scores[name] for name in LABELS]
                if np.isnan(self.known[one, 0]):
                    self.known[one] = scores
                self.differing += bool((self.known[one] != scores).any())
                self.done += 1
                if self.done % self.every == 0:
                    self.readings.append((self.done, resident_mib()))

    def study(self, number: int) -> Study | Path:
        """Return the study of a number: a file, or one to four radiographs in memory."""
        if number < len(self.paths):
            return self.paths[number]
        rng = np.random.default_rng(number)
        count = 1 + number % 4
        return Study.from_images(*rng.integers(0, 256, (count, 240, 260 + number % 7), dtype=np.uint8))


def write_file(path: Path, number: int) -> Path:
    """Write a DICOM radiograph of noise."""
    pixels = np.random.default_rng(number).integers(0, 4096, (300, 280), dtype=np.uint16)
    header = make_frontal(pixels, PatientID="SOAK", PhotometricInterpretation="MONOCHROME1")
    header.save_as(path, enforce_file_format=True)
    return path


def resident_mib() -> float:
    """Return the resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def run_soak(matcher: Matcher, studies: int, threads: int, distinct: int) -> SoakReport:
    """Score `studies` of `distinct` studies with `threads` threads; raise the first error of a thread."""
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(matcher, Path(folder), studies, distinct)
        workers = [threading.Thread(target=soak.work) for _ in range(threads)]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        elapsed = time.perf_counter() - start
    if soak.errors:
        raise soak.errors[0]
    fifths: list[list[float]] = [[] for _ in range(5)]
    for done, mib in soak.readings:
        fifths[min(4, 5 * done // soak.done)].append(mib)
    medians = tuple(round(statistics.median(fifth), 1) for fifth in fifths if fifth)
    growth = medians[-1] / medians[1] - 1
    return SoakReport(soak.done, distinct, threads, soak.differing, medians, growth, soak.done / elapsed)


@click.command()
@click.argument("engine", metavar="NAME.alta", type=click.Path(path_type=Path))
@click.option("--studies", default=20_000, show_default=True, help="Studies to score.")
@click.option("--threads", default=8, show_default=True, help="Threads that share the Matcher.")
@click.option("--distinct", default=4000, show_default=True, help="Different studies among them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(engine: Path, studies: int, threads: int, distinct: int, as_json: bool) -> None:
    """Score many studies with many threads, and watch the memory and the scores."""
    report = run_soak(Matcher(engine, threads=1, fusion_mode="published"), studies, threads, distinct)
    if as_json:
        click.echo(json.dumps(asdict(report), indent=1))
    else:
        print_facts("Soak", asdict(report).items())
    sys.exit(1 if report.differing or report.growth >= MAX_GROWTH else 0)


if __name__ == "__main__":
    main()
