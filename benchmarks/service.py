"""The workstation service under load, with dcmtk on both sides of it.

Stores a second beside dcmtk's storescp, in turn; from the last instance to the report at its destination, one study at
a time and many at once; memory beside an open Matcher; what back pressure refuses; and with --soak how memory grows.

The rate is also that with TCP_NODELAY=1: as it is shipped dcmtk waits for delayed acknowledgements, some 40 ms an
object of one association; without them it is work that is compared, our flushes included.

    python benchmarks/published_engine.py build/published --precision fp32
    python benchmarks/service.py build/published/fp32.alta [--studies 100] [--associations 4] [--rounds 5] [--json]
    python benchmarks/service.py build/demo.alta --soak 5000
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from pydicom import dcmread
from service_sides import (
    LABELS,
    Process,
    collect_reports,
    read_memory_mib,
    run_matcher,
    run_service,
    run_storescp,
    send,
    write_studies,
)

from alta_sdk import Matcher, Study
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_table, say
from alta_sdk.engine.processor import processor_name

NEVER_S = 86_400.0  # a quiet time in which nothing completes
RATE_TARGET, SCORING_FACTOR, MARGIN_S = 0.6, 1.3, 1.0
MEMORY_FACTOR, MEMORY_MARGIN_MIB, GROWTH_TARGET = 1.1, 60.0, 0.02
QUEUE_LIMIT = 8
SETTLED = 0.1  # of a soak, before which caches fill
Measured = dict[str, Any]


def measure_rate(work: Path, engine: Path, files: list[Path], associations: int, rounds: int) -> Measured:
    """Return stores a second of both sides, in turn, and the ratio of their medians."""
    work.mkdir()
    rates: dict[str, list[float]] = {"service": [], "storescp": []}
    for number in range(rounds):
        # Of both: nothing that was stored before is there.
        with run_storescp(work / f"reference-{number}") as reference:
            sent = send(reference.port, files, associations)
            rates["storescp"].append(sent.stored / sent.seconds)
        with run_service(work / f"receiver-{number}", engine, None, quiet_seconds=NEVER_S) as service:
            sent = send(service.port, files, associations)
            rates["service"].append(sent.stored / sent.seconds)
    medians = {name: statistics.median(own) for name, own in rates.items()}
    ratio = medians["service"] / medians["storescp"]
    return {
        **{f"{name}_per_s": round(own, 1) for name, own in medians.items()},
        "ratio": round(ratio, 2),
        "ratios": [round(a / b, 2) for a, b in zip(rates["service"], rates["storescp"], strict=True)],
        "is_met": ratio >= RATE_TARGET,
    }


def measure_undelayed(work: Path, engine: Path, files: list[Path], associations: int, rounds: int) -> Measured:
    """Return the same where dcmtk, on both sides, sends each packet at once."""
    os.environ["TCP_NODELAY"] = "1"
    try:
        found = measure_rate(work / "undelayed", engine, files, associations, rounds)
    finally:
        del os.environ["TCP_NODELAY"]
    del found["is_met"]  # the target is of dcmtk as it is shipped
    return found


def measure_latency(work: Path, engine: Path, files: list[Path], quiet_s: float) -> Measured:
    """Return seconds from a study's last instance to its report, one at a time, beside scoring in a warm Matcher."""
    matcher = Matcher(engine, device="cpu")
    matcher.zero_shot(Study.from_dicom(files[0]), LABELS)
    waits, scorings, overheads = [], [], []
    with (
        run_storescp(work / "reports") as destination,
        run_service(work / "single", engine, destination, quiet_seconds=quiet_s) as service,
    ):
        for count, file in enumerate(files[1:], 1):
            send(service.port, [file], 1)
            sent_at = time.time()  # after the association's release: some ms late
            uid = str(dcmread(file, stop_before_pixels=True).StudyInstanceUID)
            waits.append(collect_reports(destination, count)[uid] - sent_at)
            began = time.perf_counter()
            matcher.zero_shot(Study.from_dicom(file), LABELS)
            scorings.append(time.perf_counter() - began)
            overheads.append(waits[-1] - quiet_s - SCORING_FACTOR * scorings[-1])
    limit = quiet_s + SCORING_FACTOR * statistics.median(scorings) + MARGIN_S
    p50, p95 = (float(np.percentile(waits, part)) for part in (50, 95))
    return {
        "quiet_s": quiet_s,
        "scoring_s": round(statistics.median(scorings), 3),
        "p50_s": round(p50, 3),
        "p95_s": round(p95, 3),
        "limit_s": round(limit, 3),
        "p95_beyond_quiet_and_scoring_s": round(float(np.percentile(overheads, 95)), 3),
        "is_met": p95 <= limit,
    }


def measure_load(work: Path, engine: Path, files: list[Path], associations: int, quiet_s: float) -> Measured:
    """Return how long reports take of studies that come at once, and how many studies a second that is."""
    with (
        run_storescp(work / "load-reports") as destination,
        run_service(work / "load", engine, destination, quiet_seconds=quiet_s) as service,
    ):
        began = time.time()
        sent = send(service.port, files, associations)
        arrived = time.time()
        came = sorted(collect_reports(destination, sent.stored).values())
    waits = [at - arrived for at in came]
    p50, p95 = (float(np.percentile(waits, part)) for part in (50, 95))
    rate = len(came) / (came[-1] - began - quiet_s)
    return {"studies": len(came), "studies_per_s": round(rate, 2), "p50_s": round(p50, 2), "p95_s": round(p95, 2)}


def measure_memory(work: Path, engine: Path) -> Measured:
    """Return the resident memory of an idle service and of an open Matcher that has scored once."""
    with run_matcher(work / "matcher", engine) as process:
        matcher = read_memory_mib(process.pid)
    with run_service(work / "idle", engine, None) as service:
        time.sleep(3.0)
        idle = service.read_memory_mib()
    limit = MEMORY_FACTOR * matcher + MEMORY_MARGIN_MIB
    return {
        "matcher_mib": round(matcher),
        "service_mib": round(idle),
        "limit_mib": round(limit),
        "is_met": idle <= limit,
    }


def measure_back_pressure(work: Path, engine: Path, files: list[Path], associations: int) -> Measured:
    """Return what a queue that takes few studies refuses, and whether each that was acknowledged was reported."""
    with (
        run_storescp(work / "pressed-reports") as destination,
        run_service(work / "pressed", engine, destination, quiet_seconds=0.5, queue_limit=QUEUE_LIMIT) as service,
    ):
        sent = send(service.port, files, associations)
        reports = len(collect_reports(destination, sent.stored))
    return {
        "queue_limit": QUEUE_LIMIT,
        "sent": len(files),
        "stored": sent.stored,
        "refused": sent.refused,
        "failed": sent.failed,
        "reports": reports,
    }


def soak(work: Path, engine: Path, count: int, associations: int, side_px: int) -> Measured:
    """Send studies in parcels until so many are reported; return how memory went."""
    parcel = 50
    memory: list[tuple[int, float]] = []
    with (
        run_storescp(work / "soak-reports") as destination,
        run_service(work / "soak", engine, destination, quiet_seconds=0.5) as service,
    ):
        done = 0
        while done < count:
            files = write_studies(work / "parcel", parcel, side_px, seed=done + 1)
            sent = send(service.port, files, associations)
            if sent.stored != parcel:
                raise RuntimeError(f"{sent.refused} refused and {sent.failed} failed of {parcel}")
            done += sent.stored
            collect_reports(destination, done)
            memory.append((done, service.read_memory_mib()))
            for file in files:
                file.unlink()
            if done % 500 == 0:
                say(f"{done} studies: {memory[-1][1]:.0f} MiB, {measure_state_mib(service)} MiB of state")
    return {"studies": done, **describe_growth(memory)}


def describe_growth(memory: list[tuple[int, float]]) -> Measured:
    """Return how memory grew after caches had filled: medians of two windows, so that no single reading decides."""
    settled = memory[int(SETTLED * len(memory)) :]
    window = max(1, len(settled) // 10)
    first, last = (statistics.median(own for _, own in part) for part in (settled[:window], settled[-window:]))
    growth = last / first - 1
    return {
        "first_mib": round(first),
        "last_mib": round(last),
        "growth": round(growth, 4),
        "is_met": growth <= GROWTH_TARGET,
        "memory_mib": {done: round(own) for done, own in memory[:: max(1, len(memory) // 10)]},
    }


def measure_state_mib(service: Process) -> int:
    """Return the size of a service's state in MiB."""
    return sum(path.stat().st_size for path in (service.folder / "state").rglob("*") if path.is_file()) >> 20


@click.command()
@click.argument("engine", metavar="NAME.alta", type=click.Path(exists=True, path_type=Path))
@click.option("--studies", default=100, show_default=True, help="Studies of one radiograph each.")
@click.option("--associations", default=4, show_default=True, help="Associations at once.")
@click.option("--rounds", default=5, show_default=True, help="Rounds of the rate, of both sides in turn.")
@click.option("--single", default=20, show_default=True, help="Studies that come one at a time.")
@click.option("--side", "side_px", default=580, show_default=True, help="Pixels a side; 580 are 673 kB.")
@click.option("--quiet", "quiet_s", default=2.0, show_default=True, help="Quiet time in seconds.")
@click.option("--soak", "soak_count", default=0, help="Send so many studies instead, and watch memory.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@fail_in_one_line
def main(
    engine: Path,
    studies: int,
    associations: int,
    rounds: int,
    single: int,
    side_px: int,
    quiet_s: float,
    soak_count: int,
    as_json: bool,
) -> None:
    """Measure the service with an engine, with dcmtk on both sides."""
    facts = {"processor": processor_name(), "engine": engine.name, "studies": studies, "associations": associations}
    with tempfile.TemporaryDirectory(prefix="alta-service-") as folder:
        work = Path(folder)
        if soak_count:
            found = {"soak": soak(work, engine, soak_count, associations, side_px)}
        else:
            files = write_studies(work / "files", studies, side_px)
            one_by_one = write_studies(work / "single-files", single + 1, side_px, seed=99)
            steps: dict[str, Callable[[], Measured]] = {
                "rate": lambda: measure_rate(work / "rate", engine, files, associations, rounds),
                "rate with TCP_NODELAY=1": lambda: measure_undelayed(work, engine, files, associations, rounds),
                "memory": lambda: measure_memory(work, engine),
                "latency": lambda: measure_latency(work, engine, one_by_one, quiet_s),
                "load": lambda: measure_load(work, engine, files, associations, quiet_s),
                "back pressure": lambda: measure_back_pressure(work, engine, files, associations),
            }
            found = {}
            for name, step in steps.items():
                found[name] = step()
                say(f"measured: {name}")
    if as_json:
        click.echo(json.dumps({**facts, **found}, indent=1))
        return
    print_facts("The service under load", facts.items())
    for name, values in found.items():
        print_table(name, ["measured", "value"], values.items())


if __name__ == "__main__":
    main()
