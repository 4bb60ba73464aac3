"""A study as one batch at published size: are its rows those of single runs, and how much longer does it take?

Every precision and runtime that works here, random weights. Bit equality is what `alta_sdk.image_encoder`
checks before it batches; the ratio is that of four radiographs in one run to one radiograph, round by round.

    python benchmarks/study_batch.py [--threads 2] [--rounds 7] [--json]
"""

import json
import statistics
from functools import partial

import click
import numpy as np
from published_size import SEED, STUDY, STUDY_TARGET, load_all, published_sizes

from alta_export.graph import export_graph, image_inputs
from alta_export.ranges import Arrays, measure_ranges
from alta_export.towers import MergedImageTower
from alta_export.verify import make_radiographs
from alta_runtimes import Session
from alta_sdk.environment import processor_name
from alta_sdk.terminal import print_facts, print_table
from alta_sdk.timing import time_in_turn
from alta_training.synthetic import make_random_model


def count_equal_rows(session: Session, each: list[Arrays]) -> dict[int, int]:
    """Return, for batches of two and more, how many rows equal those of single runs to the last bit."""
    alone = [session.run(one)["cls"][0] for one in each]
    equal = {}
    for size in range(2, len(each) + 1):
        batch = {name: np.concatenate([one[name] for one in each[:size]]) for name in each[0]}
        together = session.run(batch)["cls"]
        equal[size] = sum(map(np.array_equal, together, alone))
    return equal


@click.command()
@click.option("--threads", default=2, show_default=True, help="Threads of each.")
@click.option("--rounds", default=7, show_default=True, help="Timed runs of each.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(threads: int, rounds: int, as_json: bool) -> None:
    """Compare a study's batch with single runs, in bits and in time."""
    model = make_random_model(published_sizes(), SEED)
    graph = export_graph(MergedImageTower(model.image).eval(), image_inputs(224), ["cls"])
    shown = make_radiographs(STUDY, 224)
    each: list[Arrays] = [{"pixels": shown[i : i + 1], "slot": np.array([i], dtype=np.int64)} for i in range(STUDY)]
    study: Arrays = {"pixels": shown, "slot": np.arange(STUDY, dtype=np.int64)}
    rows = []
    for key, session in load_all(graph, measure_ranges(graph, each, "minmax"), threads).items():
        equal = count_equal_rows(session, each)
        times = time_in_turn({"one": partial(session.run, each[0]), "study": partial(session.run, study)}, rounds)
        ratio = statistics.median(b / a for a, b in zip(times["one"], times["study"], strict=True))
        rows.append({"precision": key[0], "runtime": key[1], "equal_rows": equal, "study_ratio": round(ratio, 2)})
    facts = {"processor": processor_name(), "threads": threads, "target of the ratio": STUDY_TARGET}
    if as_json:
        click.echo(json.dumps({**facts, "rows": rows}, indent=1))
        return
    print_facts("A four-slot study as one batch, published size", facts.items())
    print_table(
        "Rows equal to single runs, and time against one radiograph",
        ["precision", "runtime", *(f"equal of {size}" for size in range(2, STUDY + 1)), "times one"],
        [(row["precision"], row["runtime"], *row["equal_rows"].values(), row["study_ratio"]) for row in rows],
    )


if __name__ == "__main__":
    main()
