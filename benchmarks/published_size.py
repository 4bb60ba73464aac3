"""Time one radiograph at the published size (width 768, 12 blocks): merged engine against eager PyTorch.

Random weights: speed does not depend on them. Both run in one process, in turn, on the same number of
threads, with a pause between them, because the worker threads of one spin for a while after a run and
would slow the other. Ratios are taken pair by pair, so that a drift of the machine's speed cancels.

    python benchmarks/published_size.py [--threads 2] [--rounds 15] [--json]
"""

import json
import statistics
import time
from collections.abc import Callable

import click
import numpy as np
import torch
from transformers import BertConfig

from alta_export.describe import measure_merging
from alta_export.graph import export_graph, image_inputs
from alta_export.towers import MergedImageTower, MergedTextTower
from alta_export.verify import make_radiographs
from alta_runtimes import load
from alta_sdk.environment import processor_name
from alta_sdk.terminal import print_facts, print_table
from alta_training.model.alta import to_model_input
from alta_training.model.sizes import DecoderSizes, ImageSizes, ModelSizes, TextSizes
from alta_training.synthetic import make_random_model

TARGET_RATIO = 1.8
SEED = 7
PAUSE_S = 0.1


def published_sizes() -> ModelSizes:
    """Return the sizes of the published model (18,333,502 trained of 242,177,854 parameters)."""
    text = TextSizes(BertConfig(vocab_size=30522, max_position_embeddings=512))
    return ModelSizes(ImageSizes(), DecoderSizes(), text)


def time_in_turn(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Run each in turn, `rounds` times after two warm-ups; return seconds by name."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(rounds + 2):
        for name, run in runs.items():
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            run()
            if round_number >= 2:
                times[name].append(time.perf_counter() - start)
    return times


@click.command()
@click.option("--threads", default=2, show_default=True, help="Threads of both.")
@click.option("--rounds", default=15, show_default=True, help="Timed runs of each.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(threads: int, rounds: int, as_json: bool) -> None:
    """Measure the merged FP32 engine against the unmerged tower in eager PyTorch."""
    torch.set_num_threads(threads)
    model = make_random_model(published_sizes(), SEED)
    merged = MergedImageTower(model.image).eval()
    cost = measure_merging(model, merged, MergedTextTower(model.text).eval())
    session = load(export_graph(merged, image_inputs(224), ["cls"]).SerializeToString(), threads=threads)
    grey, slot = make_radiographs(1, 224), np.zeros(1, dtype=np.int64)
    pixels, torch_slot = to_model_input(torch.from_numpy(grey[:, 0])), torch.from_numpy(slot)

    def run_eager() -> np.ndarray:
        with torch.inference_mode():
            return model.image(pixels, torch_slot)[:, 0].numpy()

    def run_engine() -> np.ndarray:
        return session.run({"pixels": grey, "slot": slot})["cls"]

    difference = float(np.abs(run_eager() - run_engine()).max())
    times = time_in_turn({"eager PyTorch FP32": run_eager, "merged engine FP32": run_engine}, rounds)
    eager, engine = times.values()
    ratio = statistics.median(a / b for a, b in zip(eager, engine, strict=True))
    rows = [
        {
            "what": name,
            "median_ms": 1e3 * statistics.median(t),
            "min_ms": 1e3 * min(t),
            "max_ms": 1e3 * max(t),
        }
        for name, t in times.items()
    ]
    facts = {
        "processor": processor_name(),
        "threads": threads,
        "onnxruntime": session.info.version,
        "torch": torch.__version__,
        "largest difference of CLS": difference,
        "parameters, image tower": f"{cost['image_before']['parameters']:,} → {cost['image_after']['parameters']:,}",
        "multiply-adds, image": f"{cost['image_before']['multiply_adds']:,} → {cost['image_after']['multiply_adds']:,}",
        "ratio, median of pairs": round(ratio, 3),
        "target": TARGET_RATIO,
        "target_met": ratio >= TARGET_RATIO,
    }
    if as_json:
        click.echo(json.dumps({"rows": rows, **facts}, indent=1, ensure_ascii=False))
        return
    print_table(
        "One radiograph at published size",
        ["", "median ms", "min", "max"],
        [(row["what"], *(f"{row[key]:.1f}" for key in ("median_ms", "min_ms", "max_ms"))) for row in rows],
    )
    print_facts("Measured in one run, in turn", facts.items())


if __name__ == "__main__":
    main()
