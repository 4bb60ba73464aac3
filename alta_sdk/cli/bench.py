"""`alta bench`: how fast engines are on this machine."""

from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from ..bench.follow_up import FollowUp, measure_follow_ups
from ..bench.measure import (
    BATCHES,
    SYNTHETIC_STUDY,
    Latency,
    Subject,
    Throughput,
    choose_thread_counts,
    measure_file_to_score,
    measure_latencies,
    measure_start,
    measure_throughput,
    open_subjects,
)
from ..bench.plot import check_plot, draw_speed
from ..engine.environment import describe_environment
from ..engine.manifest_content import ALTA
from ..files.targets import refuse_inputs
from .last_steps import take_every_step
from .option_groups import PATH, json_option, overwrite_option, threads_option, trust_option
from .terminal import fail_in_one_line, print_facts, print_object, print_table

KEPT_FACTS = ("alta-sdk", "system", "processor", "processors", "gpu", "onnxruntime")


@click.command()
@click.argument("engine", metavar="NAME.alta", type=click.Path())
@click.option(
    "--compare", multiple=True, metavar="OTHER.alta", type=click.Path(), help="Measure this one, too, in turn."
)
@click.option("--runtime", multiple=True, help="Run in this runtime; may be given again. [default: as it is opened]")
@threads_option
@trust_option
@click.option("--rounds", type=click.IntRange(min=3), default=30, show_default=True, help="Timed runs of each engine.")
@click.option(
    "--max-batch",
    type=click.IntRange(min=1, max=BATCHES[-1]),
    default=BATCHES[-1],
    show_default=True,
    help="Largest batch of the throughput table.",
)
@click.option("--study", type=click.Path(), help="A study to read and score. [default: a synthetic radiograph]")
@click.option("--plot", type=PATH, metavar="FILE.png", help="Draw speed against drift.")
@overwrite_option("a picture that is")
@json_option("Print one JSON object instead of tables.")
@fail_in_one_line
def bench(
    engine: str,
    compare: tuple[str, ...],
    runtime: tuple[str, ...],
    threads: int | None,
    trust: str | None,
    rounds: int,
    max_batch: int,
    study: str | None,
    plot: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure an engine's speed here: latency, throughput, from file to score, load time and memory.

    Engines are measured in turn in one run. Drift is that of the engine's own self-test on this machine.
    """
    if plot is not None:
        check_plot(plot, overwrite=overwrite)
        refuse_inputs(plot, (engine, *compare, study, trust), "plot")
    subjects = open_subjects((engine, *compare), runtime, threads, trust)
    latencies = measure_latencies(subjects, rounds)
    counts = choose_thread_counts(latencies[0].threads, latencies[0].device)
    throughput = [
        row for count in counts for subject in subjects for row in measure_throughput(subject, count, max_batch)
    ]
    follow_ups = measure_follow_ups(subjects, rounds)
    from_file = measure_file_to_score(subjects, study, max(3, rounds // 3))
    starts = [measure_start(subject) for subject in subjects]
    environment = describe_environment()
    facts = {name: environment.facts[name] for name in KEPT_FACTS if name in environment.facts}
    facts |= {info.name: str(info.version) for info in environment.runtimes if info.is_available}
    machine = f"{facts['processor']}, {facts['processors']} processors, alta-sdk {facts['alta-sdk']}"

    def show() -> None:
        if as_json:
            measured = {
                "latency": [asdict(row) for row in latencies],
                "throughput": [asdict(row) for row in throughput],
                "follow_up": [asdict(row) for row in follow_ups],
                "from_file": [asdict(row) for row in from_file],
                "start": [asdict(row) for row in starts],
            }
            print_object({**measured, "study": study_named(study), "machine": facts})
            return
        show_latencies(latencies)
        show_throughput(subjects, throughput)
        show_follow_ups(follow_ups)
        print_table(
            f"From file to score, {study_named(study)}",
            ["engine", "runtime", "read and decode ms", "score ms"],
            [(row.name, row.runtime, f"{row.decode_ms:.1f}", f"{row.score_ms:.1f}") for row in from_file],
        )
        print_table(
            "In a process of its own",
            ["engine", "runtime", "load s", "peak memory MB"],
            [(row.name, row.runtime, f"{row.load_s:.2f}", f"{row.peak_mb:.0f}") for row in starts],
        )
        print_facts("This machine", facts.items())

    take_every_step(
        partial(draw_speed, plot, machine, latencies, throughput, overwrite=overwrite) if plot else None,
        show,
    )


def show_latencies(latencies: list[Latency]) -> None:
    """Print a line for each engine: what one radiograph and eight prompts take; and families, where others are.

    Families read pictures of different size, which their times are to be seen with.
    """
    print_table(
        "One radiograph, in turn",
        [
            "engine",
            "precision",
            "runtime",
            "device",
            "threads",
            "p50 ms",
            "p95 ms",
            "times first",
            "8 prompts ms",
            "worst cosine",
        ],
        [
            (
                *(row.name, row.precision, row.runtime, row.device, row.threads),
                *(f"{row.p50_ms:.1f}", f"{row.p95_ms:.1f}"),
                *(f"{row.times_first:.2f}", f"{row.prompts_p50_ms:.1f}", f"{row.worst_cosine:.6f}"),
            )
            for row in latencies
        ],
    )
    if any(row.family != ALTA for row in latencies):
        names = {row.name: (row.name, row.family, f"{row.reads_px} × {row.reads_px}") for row in latencies}
        print_table("What they read", ["engine", "family", "pixels"], names.values())


def show_throughput(subjects: Iterable[Subject], throughput: list[Throughput]) -> None:
    """Print radiographs per second: a line for each engine and number of threads, a column for each batch."""
    batches = sorted({row.batch for row in throughput})
    rates = {(row.name, row.runtime, row.threads, row.batch): row.radiographs_per_s for row in throughput}
    counts = sorted({row.threads for row in throughput})
    lines = [(subject.name, subject.runtime, count) for subject in subjects for count in counts]
    print_table(
        "Radiographs per second, by batch",
        ["engine", "runtime", "threads", *(str(batch) for batch in batches)],
        [(*line, *(f"{rates[*line, batch]:.1f}" for batch in batches)) for line in lines],
    )


def show_follow_ups(measured: list[FollowUp]) -> None:
    """Print a line for each engine that reads priors; nothing if none does."""
    if measured:
        print_table(
            "A follow-up whose prior was seen, in turn with a radiograph alone",
            ["engine", "runtime", "alone ms", "beside its prior ms", "times alone"],
            [
                (row.name, row.runtime, f"{row.alone_ms:.1f}", f"{row.beside_prior_ms:.1f}", f"{row.times_alone:.2f}")
                for row in measured
            ],
        )


def study_named(study: str | None) -> str:
    """Say what was read, without its path."""
    return SYNTHETIC_STUDY if study is None else "the study that was given"
