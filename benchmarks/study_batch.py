"""A study as one batch: are its rows those of single runs, and how much longer does it take than one radiograph?

Bit equality is what `alta_sdk.engine.image_encoder` checks on each machine before it batches; here it is shown for
every runtime that works. The ratio is that of four radiographs in one run to one radiograph, round by round.

    python benchmarks/published_engine.py build/published
    python benchmarks/study_batch.py build/published/int8.alta [--threads 2] [--rounds 7] [--json]
"""

import json
import statistics
from functools import partial
from pathlib import Path

import click
import numpy as np

from alta_runtimes import RuntimeUnavailable, available
from alta_sdk import Engine, Slot
from alta_sdk.bench.timing import time_in_turn
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_table
from alta_sdk.engine.processor import processor_name

STUDY_TARGET = 3.6
SLOTS = np.array(list(Slot), dtype=np.int64)


def compare_batch(engine: Engine, pixels: np.ndarray, rounds: int) -> dict[str, object]:
    """Return, of a study's pixels (4, 1, px, px), how many rows of each batch are exact, and the ratio of times."""
    alone = [engine.encode_pixels(pixels[i : i + 1], SLOTS[i : i + 1])[0] for i in range(len(SLOTS))]
    exact = {}
    for size in range(2, len(SLOTS) + 1):
        together = engine.encode_pixels(pixels[:size], SLOTS[:size])
        exact[size] = sum(map(np.array_equal, together, alone))
    runs = {
        "one": partial(engine.encode_pixels, pixels[:1], SLOTS[:1]),
        "study": partial(engine.encode_pixels, pixels, SLOTS),
    }
    times = time_in_turn(runs, rounds)
    ratio = statistics.median(study / one for one, study in zip(times["one"], times["study"], strict=True))
    return {"exact_rows": exact, "study_ratio": round(ratio, 2)}


@click.command()
@click.argument("engine", metavar="NAME.alta", type=click.Path(path_type=Path))
@click.option("--threads", default=2, show_default=True, help="Threads of each.")
@click.option("--rounds", default=7, show_default=True, help="Timed runs of each.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@fail_in_one_line
def main(engine: Path, threads: int, rounds: int, as_json: bool) -> None:
    """Compare a study's batch with single runs, in bits and in time, on every runtime here."""
    rows = []
    for runtime in (info.name for info in available() if info.is_available):
        try:
            opened = Engine.open(engine, runtime=runtime, threads=threads)
        except RuntimeUnavailable:
            continue  # this precision is not computed here: the table has no row of it
        side = opened.geometry.crop_px
        pixels = np.random.default_rng(7).integers(0, 256, (len(SLOTS), 1, side, side), dtype=np.uint8)
        rows.append({"runtime": runtime, **compare_batch(opened, pixels, rounds)})
        name, precision = opened.manifest.name, opened.manifest.engine["precision"]
    if not rows:
        raise RuntimeUnavailable("no runtime here computes the precision of this engine")
    facts = {"processor": processor_name(), "threads": threads, "engine": name, "precision": precision}
    if as_json:
        click.echo(json.dumps({**facts, "target": STUDY_TARGET, "rows": rows}, indent=1))
        return
    print_facts("A four-slot study as one batch", facts.items())
    print_table(
        f"Rows that equal single runs, and time against one radiograph (target: {STUDY_TARGET})",
        ["runtime", *(f"exact of {size}" for size in range(2, len(SLOTS) + 1)), "times one"],
        [(row["runtime"], *row["exact_rows"].values(), row["study_ratio"]) for row in rows],
    )


if __name__ == "__main__":
    main()
