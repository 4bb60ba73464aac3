"""A folder of DICOM studies, from files to scores, by coding: ours against a plain pydicom and PyTorch loop.

The loop is what one would write first: `pixel_array`, brought to 8 bits and to the model's square, through the
published tower in eager PyTorch, study after study, FP32 and BF16. Ours is `Matcher.iter_zero_shot` over the paths.
Beside them the two halves alone: reading with as many readers, and inference over studies that were read. All alternate
in one process; ratios are taken round by round. Both halves want the same processors, so that the two one after the
other are what a perfect pipeline would take: the share of that is told beside the targets, which ask for more. Every
study has pixels of its own, and each round opens the engine anew, so that nothing was seen before.

    python benchmarks/published_engine.py build/published --precision int8
    python benchmarks/folder.py build/published/int8.alta [--studies 12] [--rounds 5] [--threads 2] [--reduced] [--json]
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from published_size import SEED, published_sizes
from pydicom import dcmread, uid

from alta_sdk import Matcher, Study
from alta_sdk.bench.synthetic import make_frontal, make_grey
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_table
from alta_sdk.dicom.decoding import count_workers
from alta_sdk.engine.environment import processor_name
from alta_sdk.study.geometry import ALTA_GEOMETRY
from alta_sdk.study.read_ahead import ReadAhead
from alta_training.data.synthetic import make_random_model
from alta_training.model.alta import to_model_input

CODINGS = {
    "JPEG 2000": (uid.JPEG2000Lossless, {}),
    "JPEG 2000, 10 : 1": (uid.JPEG2000, {"j2k_cr": [10]}),
    "JPEG-LS": (uid.JPEGLSLossless, {}),
    "RLE": (uid.RLELossless, {}),
    "not compressed": (None, {}),
}
SHAPE = (2500, 2048)
LABELS = ["pneumonia", "pleural effusion"]
LOOP, LOOP_BF16, OURS, REDUCED = "loop", "loop, BF16", "ours", "ours, reduced"
READ, INFER = "reading", "inference"
AGAINST_LOOP = {"JPEG 2000": 1.5, "JPEG 2000, 10 : 1": 1.5}  # others: 2
AGAINST_OTHERS = 2.0
AGAINST_PARTS = 0.9


def write_studies(folder: Path, coding: str, count: int) -> list[Path]:
    """Write studies of one made-up radiograph each: 12 bits, soft shades, noise of its own, a white marker."""
    syntax, options = CODINGS[coding]
    paths = []
    for number in range(count):
        noise = np.random.default_rng(number).normal(scale=20, size=SHAPE)
        stored = np.clip(12.0 * make_grey(*SHAPE) + noise, 0, 4000).astype(np.uint16)
        stored[100:180, 100:160] = 4095
        header = make_frontal(stored)
        if syntax is not None:
            header.compress(syntax, generate_instance_uid=False, **options)
        paths.append(folder / f"{number}.dcm")
        header.save_as(paths[-1], enforce_file_format=True)
    return paths


def make_loop(threads: int) -> Callable[[list[Path], bool], None]:
    """Return the plain loop over paths; is_half: in BF16."""
    torch.set_num_threads(threads)
    image = make_random_model(published_sizes(), SEED).image.eval()
    slot = torch.zeros(1, dtype=torch.int64)

    def run(paths: list[Path], is_half: bool) -> None:
        for path in paths:
            pixels = dcmread(path).pixel_array.astype(np.float32)
            grey = np.rint(pixels * (255 / pixels.max())).astype(np.uint8)
            square = torch.tensor(ALTA_GEOMETRY.to_pixels(grey))[None]
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=is_half):
                image(to_model_input(square), slot)[:, 0].float().numpy()

    return run


def list_runs(engine: Path, paths: list[Path], threads: int, reduced: bool) -> dict[str, Callable[[], float]]:
    """Return what is timed, by name: each opens what it needs, and gives the seconds that its work took."""
    loop = make_loop(threads)

    def time_loop(is_half: bool) -> float:
        start = time.perf_counter()
        loop(paths, is_half)
        return time.perf_counter() - start

    def time_scores(sources: list[Any], **options: bool) -> float:
        with Matcher(engine, threads=threads, **options) as matcher:
            matcher.embed_text(LABELS)
            warm = make_grey(256, 256), matcher.intensity_profile
            matcher.embed(Study.from_images(warm[0], intensity_profile=warm[1].removesuffix("+half")))
            start = time.perf_counter()
            for _ in matcher.iter_zero_shot(sources, LABELS):
                pass
            return time.perf_counter() - start

    def time_reading() -> float:
        start = time.perf_counter()
        with ReadAhead(paths, Study.from_dicom) as studies:
            for _ in studies:
                pass
        return time.perf_counter() - start

    read = [Study.from_dicom(path) for path in paths]
    runs: dict[str, Callable[[], float]] = {
        LOOP: lambda: time_loop(False),
        LOOP_BF16: lambda: time_loop(True),
        OURS: lambda: time_scores(paths),
        READ: time_reading,
        INFER: lambda: time_scores(read),
    }
    if reduced:
        runs[REDUCED] = lambda: time_scores(paths, reduced_decode=True)
    return runs


def measure(engine: Path, coding: str, studies: int, rounds: int, threads: int, reduced: bool) -> dict[str, Any]:
    """Return studies a minute by what is run, and the ratios that the targets are about: medians of the rounds."""
    with tempfile.TemporaryDirectory() as name:
        runs = list_runs(engine, write_studies(Path(name), coding, studies), threads, reduced)
        times: dict[str, list[float]] = {run: [] for run in runs}
        for number in range(rounds + 1):
            for run, work in runs.items():
                taken = work()
                if number:  # the first warms up
                    times[run].append(taken)

    def compare(ratio: Callable[[dict[str, float]], float]) -> float:
        return round(statistics.median(ratio({run: times[run][i] for run in times}) for i in range(rounds)), 2)

    is_slow = coding.startswith("JPEG 2000")
    parts = compare(lambda t: (t[READ] if is_slow else max(t[READ], t[INFER])) / t[OURS])
    found = {
        "coding": coding,
        "studies_per_minute": {run: round(60 * studies / statistics.median(own), 1) for run, own in times.items()},
        "times_loop": compare(lambda t: t[LOOP] / t[OURS]),
        "times_loop_bf16": compare(lambda t: t[LOOP_BF16] / t[OURS]),
        "share_of_slower_part": parts,
        "share_of_both_parts": compare(lambda t: (t[READ] + t[INFER]) / t[OURS]),
    }
    targets = {
        f"{coding}: {AGAINST_LOOP.get(coding, AGAINST_OTHERS)} × the loop": found["times_loop"]
        >= AGAINST_LOOP.get(coding, AGAINST_OTHERS),
        f"{coding}: {AGAINST_PARTS} of {'reading alone' if is_slow else 'the slower part'}": parts >= AGAINST_PARTS,
    }
    return {**found, "targets": targets}


@click.command()
@click.argument("engine", metavar="NAME.alta", type=click.Path(path_type=Path))
@click.option(
    "--coding", "codings", multiple=True, type=click.Choice(list(CODINGS)), help="One of them. [default: all]"
)
@click.option("--studies", default=12, show_default=True, help="Studies of the folder, of one radiograph each.")
@click.option("--rounds", default=5, show_default=True, help="Timed rounds.")
@click.option("--threads", default=2, show_default=True, help="Threads of the engine and of PyTorch.")
@click.option("--reduced", is_flag=True, help="Also with reduced decoding.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@fail_in_one_line
def main(
    engine: Path, codings: tuple[str, ...], studies: int, rounds: int, threads: int, reduced: bool, as_json: bool
) -> None:
    """Measure a folder of studies in each coding."""
    rows = [measure(engine, coding, studies, rounds, threads, reduced) for coding in codings or CODINGS]
    with Matcher(engine, threads=threads) as matcher:
        provenance = matcher.provenance
    facts = {
        "processor": processor_name(),
        "torch": torch.__version__,
        **{key: provenance[key] for key in ("engine", "precision", "runtime", "threads")},
        "readers": count_workers(),
    }
    targets = {name: met for row in rows for name, met in row["targets"].items()}
    if as_json:
        click.echo(json.dumps({**facts, "rows": rows, "targets_met": all(targets.values())}, indent=1))
        return
    names = list(rows[0]["studies_per_minute"])
    print_table(
        "Studies a minute, from DICOM file to scores",
        ["coding", *names, "times the loop", "times the BF16 loop", "share of the slower part", "share of both"],
        [
            (
                row["coding"],
                *row["studies_per_minute"].values(),
                row["times_loop"],
                row["times_loop_bf16"],
                row["share_of_slower_part"],
                row["share_of_both_parts"],
            )
            for row in rows
        ],
    )
    print_facts("Measured in one run, in turn", facts.items())
    print_facts("Targets", [(name, "met" if met else "MISSED") for name, met in targets.items()])


if __name__ == "__main__":
    main()
