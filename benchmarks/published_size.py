"""Time one radiograph at the published size (width 768, 12 blocks, random weights): every precision and runtime of
ours against what a user would pick instead, with the peak of matrix products of the same run as the limit.

Speed does not depend on the weights. All run in one process, in turn, on the same number of threads, with a pause
between them, and ratios are taken round by round, so that a drift of the machine's speed cancels. Peers
(`peers.py`) run the tower as it was trained, with its adapters; ours the merged one.

    pip install 'alta-sdk[bench]'      # torchao, NNCF; without them their rows are left out, with the reason
    python benchmarks/published_size.py [--threads 2] [--rounds 15] [--json]
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import click
import numpy as np
import onnx
import torch
from peaks import Peak, make_input, make_product, measure_peaks
from peers import EAGER, ClsTower, Peer, Task, open_peers
from transformers import BertConfig

from alta_export.families.alta import measure_merging
from alta_export.graph import export_graph, image_inputs
from alta_export.precision import PrecisionPlan, Ranges, apply_precision
from alta_export.ranges import Arrays, measure_ranges
from alta_export.row_blocks import split_rows
from alta_export.towers import MergedImageTower, MergedTextTower
from alta_export.verify import make_radiographs
from alta_runtimes import RuntimeUnavailable, Session, available, load
from alta_runtimes.openvino_session import NAME as OPENVINO
from alta_sdk.bench.timing import time_in_turn
from alta_sdk.cli.terminal import print_facts, print_table
from alta_sdk.engine.processor import processor_name
from alta_training.data.synthetic import make_random_model
from alta_training.model.alta import to_model_input
from alta_training.model.sizes import DecoderSizes, ImageSizes, ModelSizes, TextSizes

SEED = 7
CALIBRATED_ON = 4
STUDY = 4  # radiographs of a four-slot study
BATCH = 8
STUDY_TARGET = 3.2
TIMES_PEER = {"fp32": 1.0, "bf16": 1.1, "int8": 1.25}  # times the best peer of the precision
SHARES = {1: 0.35, BATCH: 0.5}  # of the peak of INT8 products, by radiographs in one run
COMPUTE = {"fp32": "f32", "fp16": "f32", "bf16": "bf16", "int8": "f32", "int8-bf16": "bf16"}
PAUSE_S = 0.3
SPLIT = ", tokens in two parts"  # what alta-export --tune tries for OpenVINO

Sessions = dict[tuple[str, str], Session]


@dataclass(frozen=True)
class Row:
    """One way to run the tower. times_peer: as fast as the best peer of its precision. share: of the precision's peak.

    whose: ours, or a peer. load_s: to make it ready.
    """

    whose: str
    precision: str
    runtime: str
    median_ms: float
    times_eager: float
    times_peer: float | None
    share: float | None
    cosine: float
    load_s: float


def published_sizes() -> ModelSizes:
    """Return the sizes of the published model (18,333,502 trained of 242,177,854 parameters)."""
    text = TextSizes(BertConfig(vocab_size=30522, max_position_embeddings=512))
    return ModelSizes(ImageSizes(), DecoderSizes(), text)


def load_all(graph: onnx.ModelProto, ranges: Ranges, threads: int) -> tuple[Sessions, dict[tuple[str, str], float]]:
    """Load a graph in every precision, runtime and form that works here; return sessions, and the seconds of each."""
    sessions, seconds = {}, {}
    for precision, compute in COMPUTE.items():
        lowered = apply_precision(graph, PrecisionPlan(precision.partition("-")[0]), ranges)
        ways = {info.name: lowered for info in available() if info.is_available}
        if OPENVINO in ways and (split := split_rows(lowered)) is not None:
            ways[f"{OPENVINO}{SPLIT}"] = split
        for way, form in ways.items():
            data, runtime = form.SerializeToString(), way.removesuffix(SPLIT)
            start = time.perf_counter()
            try:
                sessions[precision, way] = load(data, threads=threads, runtime=runtime, compute=compute)
            except RuntimeUnavailable:
                continue  # this precision is not computed here: the table has no row of it
            seconds[precision, way] = time.perf_counter() - start
    return sessions, seconds


def name_peak(precision: str) -> str:
    """Return the precision of the products that most of the time goes to."""
    return precision.partition("-")[0]


def find_best_peers(peers: Sequence[Peer], times: Mapping[str, list[float]]) -> dict[str, str]:
    """Return the fastest peer's name by precision."""
    best: dict[str, str] = {}
    for peer in peers:
        held = best.get(peer.precision)
        if held is None or statistics.median(times[peer.name]) < statistics.median(times[held]):
            best[peer.precision] = peer.name
    return best


def compare(one: list[float], other: list[float]) -> float:
    """Return how many times as fast the other is: the median of the rounds' own ratios."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine of two vectors."""
    return float((one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other))


def meets_targets(
    rows: Sequence[Row], shares: Mapping[int, float], study: Mapping[str, float]
) -> dict[str, bool | None]:
    """Say of each target whether our fastest form meets it; None where nothing runs here that it is of."""
    met: dict[str, bool | None] = {}
    for precision, times in TIMES_PEER.items():
        ratios = [row.times_peer for row in rows if row.whose == "ours" and name_peak(row.precision) == precision]
        known = [ratio for ratio in ratios if ratio is not None]
        met[f"{precision}: {times} times its best peer"] = max(known) >= times if known else None
    for size, share in SHARES.items():
        met[f"int8: {share} of the peak, {size} in one run"] = shares[size] >= share if size in shares else None
    for runtime, ratio in study.items():
        met[f"four-slot study within {STUDY_TARGET} of one radiograph, {runtime}"] = ratio <= STUDY_TARGET
    return met


def sum_up(met: Mapping[str, bool | None]) -> bool | None:
    """Return True if every target is met, False if one is missed, None if none is but some could not be measured."""
    states = set(met.values())
    return False if False in states else None if None in states else True


def time_studies(sessions: Sessions, shown: np.ndarray, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return, by form, a four-slot study's time over one radiograph's, and milliseconds a radiograph of a batch."""
    ways = {key: session for key, session in sessions.items() if name_peak(key[0]) in ("fp32", "int8")}
    runs: dict[str, Callable[[], object]] = {}
    for key, session in ways.items():
        for size in (1, STUDY, BATCH):
            inputs = {"pixels": shown[:size], "slot": np.arange(size, dtype=np.int64) % STUDY}
            runs[f"{'/'.join(key)}/{size}"] = partial(session.run, inputs)
    times = time_in_turn(runs, rounds, PAUSE_S)
    names = ["/".join(key) for key in ways]
    study = {name: compare(times[f"{name}/{STUDY}"], times[f"{name}/1"]) for name in names}
    return study, {name: 1e3 * statistics.median(times[f"{name}/{BATCH}"]) / BATCH for name in names}


@dataclass(frozen=True)
class Contest:
    """Everything that is timed, ready. work: 10⁹ operations of the merged tower for one radiograph."""

    sessions: Sessions
    seconds: Mapping[tuple[str, str], float]
    peers: Sequence[Peer]
    missing: Mapping[str, str]
    shown: np.ndarray
    work: float
    merging: str

    @property
    def one(self) -> dict[str, np.ndarray]:
        """What every session is asked: one radiograph."""
        return {"pixels": self.shown[:1], "slot": np.zeros(1, dtype=np.int64)}


def prepare(threads: int) -> Contest:
    """Make the model, export it in every form that runs here, and open every peer."""
    model = make_random_model(published_sizes(), SEED).eval()
    merged = MergedImageTower(model.image).eval()
    cost = measure_merging(model, merged, MergedTextTower(model.text).eval())
    graph = export_graph(merged, image_inputs(224), ["cls"])
    shown = make_radiographs(BATCH, 224)
    each: list[Arrays] = [
        {"pixels": shown[i : i + 1], "slot": np.array([i], dtype=np.int64)} for i in range(CALIBRATED_ON)
    ]
    sessions, seconds = load_all(graph, measure_ranges(graph, each, "minmax"), threads)
    given = [to_model_input(torch.from_numpy(shown[i : i + 1, 0])) for i in range(CALIBRATED_ON)]
    first = torch.zeros(1, dtype=torch.int64)
    sizes = published_sizes().image
    task = Task(ClsTower(model.image).eval(), given[0], first, given, threads, sizes.heads, sizes.width)
    before, after = (cost[name]["multiply_adds"] for name in ("image_before", "image_after"))
    return Contest(sessions, seconds, *open_peers(task), shown, 2 * after / 1e9, f"{before:,} → {after:,}")


def describe_rows(contest: Contest, times: Mapping[str, list[float]], peaks: Mapping[str, Peak]) -> list[Row]:
    """Return the table: peers first, each against eager PyTorch and the best peer of its precision."""
    best = find_best_peers(contest.peers, times)
    truth = next(peer for peer in contest.peers if peer.name == EAGER).run()[0]

    def describe(whose: str, precision: str, runtime: str, name: str, vector: np.ndarray, load_s: float) -> Row:
        own, peak = times[name], name_peak(precision)
        has_share = peak in peaks and whose == "ours"
        return Row(
            whose,
            precision,
            runtime,
            1e3 * statistics.median(own),
            compare(times[EAGER], own),
            compare(times[best[peak]], own) if peak in best else None,
            contest.work / statistics.median(own) / peaks[peak][0] if has_share else None,
            cosine(truth, vector),
            load_s,
        )

    rows = [describe("peer", one.precision, one.name, one.name, one.run()[0], one.load_s) for one in contest.peers]
    for key, session in contest.sessions.items():
        vector = session.run(contest.one)["cls"][0]
        rows.append(describe("ours", *key, "/".join(key), vector, contest.seconds[key]))
    return rows


def measure_shares(rows: Sequence[Row], batch_ms: Mapping[str, float], work: float, peak: float) -> dict[int, float]:
    """Return the best share of the INT8 peak, by radiographs in one run."""
    own = [row.share for row in rows if row.whose == "ours" and name_peak(row.precision) == "int8" and row.share]
    many = [work * 1e3 / ms / peak for name, ms in batch_ms.items() if name.startswith("int8")]
    return ({1: max(own)} if own else {}) | ({BATCH: max(many)} if many else {})


@click.command()
@click.option("--threads", default=2, show_default=True, help="Threads of each.")
@click.option("--rounds", default=15, show_default=True, help="Timed runs of each.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(threads: int, rounds: int, as_json: bool) -> None:
    """Measure the merged tower in every precision and runtime against the trained tower by every usual way."""
    torch.set_num_threads(threads)
    contest = prepare(threads)
    runs: dict[str, Callable[[], object]] = {peer.name: peer.run for peer in contest.peers}
    runs |= {"/".join(key): partial(session.run, contest.one) for key, session in contest.sessions.items()}
    times = time_in_turn(runs, rounds, PAUSE_S)
    x = make_input()
    products, _ = load_all(make_product(), {"product": (float(x.min()), float(x.max()))}, threads)
    peaks = measure_peaks({key: one for key, one in products.items() if key[0] in TIMES_PEER}, max(5, rounds // 2))
    study, batch_ms = time_studies(contest.sessions, contest.shown, max(5, rounds // 2))
    rows = describe_rows(contest, times, peaks)
    shares = measure_shares(rows, batch_ms, contest.work, peaks["int8"][0])
    met = meets_targets(rows, shares, study)
    facts = {
        "processor": processor_name(),
        "threads": threads,
        "torch": torch.__version__,
        **{info.name: info.version for info in available() if info.is_available},
        "multiply-adds, image": contest.merging,
        **{f"peak {name}": f"{rate:.0f} · 10⁹ operations a second, {who}" for name, (rate, who) in peaks.items()},
        **{f"share of the INT8 peak, {size} in one run": f"{share:.2f}" for size, share in shares.items()},
        **{f"four-slot study, {name}": f"{ratio:.2f} times one radiograph" for name, ratio in study.items()},
        **{f"batch of {BATCH}, {name}": f"{ms:.1f} ms a radiograph" for name, ms in batch_ms.items()},
        **{f"left out: {name}": reason for name, reason in contest.missing.items()},
    }
    if as_json:
        told = {"rows": [asdict(row) for row in rows], "peaks": peaks, "study": study, "batch_ms": batch_ms}
        click.echo(json.dumps({**told, "targets": met, "targets_met": sum_up(met), **facts}, indent=1))
        return
    show(rows, facts, met)


def show(rows: Sequence[Row], facts: Mapping[str, object], met: Mapping[str, bool | None]) -> None:
    """Print the table, what it was measured on, and the targets."""

    def say(number: float | None) -> str:
        return "-" if number is None else f"{number:.2f}"

    print_table(
        "One radiograph at published size",
        ["", "precision", "by", "median ms", "times eager", "times best peer", "of peak", "cosine", "load s"],
        [
            (r.whose, r.precision, r.runtime, f"{r.median_ms:.1f}", f"{r.times_eager:.2f}", say(r.times_peer))
            + (say(r.share), f"{r.cosine:.6f}", f"{r.load_s:.1f}")
            for r in rows
        ],
    )
    print_facts("Measured in one run, in turn", facts.items())
    said = {True: "met", False: "MISSED", None: "does not run here"}
    print_facts("Targets", [(name, said[state]) for name, state in met.items()])


if __name__ == "__main__":
    main()
