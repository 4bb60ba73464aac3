"""Do decoding and inference overlap over a list of studies? From JPEG 2000 DICOM files to scores, three ways.

Decoding alone (files to studies), inference alone (studies to scores), and both as a user runs them
(`Matcher.iter_zero_shot` on paths, which reads the next studies in a thread). The three alternate in one
process, so that a drift of the machine's speed cancels; the ratio of both to the slower one is 1 where the
overlap is perfect, and the ratio to the sum is 1 where there is none. Each round opens the engine anew, so
that no radiograph was seen before. The studies are the sample radiographs at a detector's size, made noisy
and compressed 10 : 1.

    python benchmarks/published_engine.py build/published --precision int8
    python benchmarks/overlap.py build/published/int8.alta [--studies 8] [--rounds 5] [--threads 1] [--json]
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image
from pydicom.uid import JPEG2000

from alta_sdk import Engine, Matcher, Study
from alta_sdk.bench.synthetic import make_frontal, make_grey
from alta_sdk.cli.terminal import print_facts
from alta_sdk.engine.processor import processor_name
from alta_sdk.study.study import load_study

SAMPLES = Path(__file__).parent.parent / "examples" / "data"
SHAPE = (1955, 1841)  # of the detector that the 92 ms were measured on
LABELS = ["pneumonia", "pleural effusion"]


def write_study(path: Path, sample: Path, number: int) -> Path:
    """Write a sample radiograph as a detector would: 12 bits, noise, JPEG 2000 with loss, 10 : 1."""
    resized = Image.open(sample, formats=("JPEG", "PNG")).convert("L").resize(SHAPE[::-1], Image.Resampling.BICUBIC)
    noise = np.random.default_rng(number).normal(scale=20, size=SHAPE)
    stored = np.clip(16.0 * np.asarray(resized) + noise, 0, 4095).astype(np.uint16)
    study = make_frontal(stored)
    study.compress(JPEG2000, j2k_cr=[10])
    study.save_as(path, enforce_file_format=True)
    return path


def time_round(engine: Path, paths: list[Path], threads: int | None) -> dict[str, float]:
    """Return seconds a study of decoding alone, of inference alone, and of both together."""
    alone, together = (Matcher(Engine.open(engine, threads=threads)) for _ in range(2))
    for matcher in (alone, together):
        matcher.embed_text(LABELS)
        profile = matcher.engine.manifest.intensity_profile
        # Memory and kernels are ready.
        matcher.embed(Study.from_images(make_grey(256, 256), intensity_profile=profile))
    marks = [time.perf_counter()]
    studies = [load_study(path, intensity_profile=profile) for path in paths]
    marks.append(time.perf_counter())
    expected = [result.scores for result in alone.iter_zero_shot(studies, LABELS)]
    marks.append(time.perf_counter())
    found = [result.scores for result in together.iter_zero_shot(paths, LABELS)]
    marks.append(time.perf_counter())
    if found != expected:
        raise click.ClickException("scores of files and of studies differ: the benchmark is void")
    spans = [(end - start) / len(paths) for start, end in zip(marks, marks[1:], strict=False)]
    return dict(zip(("decode", "infer", "both"), spans, strict=True))


@click.command()
@click.argument("engine", metavar="NAME.alta", type=click.Path(path_type=Path))
@click.option("--studies", default=8, show_default=True, help="Studies of one radiograph in the list.")
@click.option("--rounds", default=5, show_default=True, help="Timed rounds.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the engine. [default: every processor]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(engine: Path, studies: int, rounds: int, threads: int | None, as_json: bool) -> None:
    """Measure decoding, inference, and both over one list of studies."""
    samples = sorted(SAMPLES.glob("*.jpg"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [write_study(folder / f"{n}.dcm", samples[n % len(samples)], n) for n in range(studies)]
        times = [time_round(engine, paths, threads) for _ in range(rounds)]
        provenance = Engine.open(engine, threads=threads).provenance
    against_slower = statistics.median(t["both"] / max(t["decode"], t["infer"]) for t in times)
    against_sum = statistics.median(t["both"] / (t["decode"] + t["infer"]) for t in times)
    facts = {
        "processor": processor_name(),
        **{key: provenance[key] for key in ("engine", "precision", "runtime", "threads")},
        **{f"{kind}, ms a study": round(1e3 * statistics.median(t[kind] for t in times), 1) for kind in times[0]},
        "both / slower": round(against_slower, 2),
        "both / sum": round(against_sum, 2),
    }
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        print_facts("From DICOM file to scores", facts.items())


if __name__ == "__main__":
    main()
