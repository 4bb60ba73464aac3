"""What the heat map costs at the published size (width 768, 12 blocks, random weights), by runtime.

Is the image graph slower, or does it give other numbers, with the tokens for the patch graph as a second
output? How large is the patch graph, and how long does it run? Both image graphs run in one process, in turn.

    python benchmarks/patch_output.py [--threads 2] [--rounds 15]
"""

import statistics
from functools import partial

import click
import numpy as np
import torch
from published_size import SEED, published_sizes

from alta_export.graph import export_graph, image_inputs, patch_inputs
from alta_export.towers import MergedImageTower, PatchTower, TracedImageTower
from alta_export.verify import make_radiographs
from alta_runtimes import available, load
from alta_sdk.bench.timing import time_in_turn
from alta_sdk.cli.terminal import print_facts, print_table
from alta_sdk.engine.processor import processor_name
from alta_training.data.synthetic import make_random_model

MIB = 1 << 20


@click.command()
@click.option("--threads", default=2, show_default=True, help="Threads of each.")
@click.option("--rounds", default=15, show_default=True, help="Timed runs of each.")
def main(threads: int, rounds: int) -> None:
    """Measure the image graph with and without its second output, and the patch graph."""
    torch.set_num_threads(threads)
    model = make_random_model(published_sizes(), SEED)
    inputs = image_inputs(224)
    graphs = {
        "cls alone": export_graph(MergedImageTower(model.image).eval(), inputs, ["cls"]),
        "cls and tokens": export_graph(TracedImageTower(model.image).eval(), inputs, ["cls", "tokens"]),
        "patches": export_graph(PatchTower(model.image).eval(), patch_inputs(model.sizes.image), ["patches"]),
    }
    files = {name: graph.SerializeToString() for name, graph in graphs.items()}
    image = {"pixels": make_radiographs(1, 224), "slot": np.zeros(1, dtype=np.int64)}
    rows = []
    for runtime in (info.name for info in available() if info.is_available):
        sessions = {name: load(data, threads=threads, runtime=runtime) for name, data in files.items()}
        tokens = sessions["cls and tokens"].run(image)["tokens"]
        given = {name: {"tokens": tokens} if name == "patches" else image for name in sessions}
        times = time_in_turn({name: partial(s.run, given[name]) for name, s in sessions.items()}, rounds)
        alone, both = (sessions[name].run(image)["cls"] for name in ("cls alone", "cls and tokens"))
        ratio = statistics.median(b / a for a, b in zip(times["cls alone"], times["cls and tokens"], strict=True))
        medians = [f"{1e3 * statistics.median(times[name]):.1f}" for name in sessions]
        rows.append((runtime, *medians, f"{ratio:.3f}", "yes" if np.array_equal(alone, both) else "no"))
    columns = ["runtime", *(f"{name}, ms" for name in files), "both / alone", "cls equal to the bit"]
    print_table("One radiograph", columns, rows)
    sizes = [(f"size of {name}", f"{len(data) / MIB:.1f} MiB") for name, data in files.items()]
    print_facts("Measured in one run, in turn", [("processor", processor_name()), ("threads", threads), *sizes])


if __name__ == "__main__":
    main()
