"""Is token merging worth a place in the export? What it costs a model, as the gate counts, and what it gains in time.

What it costs: a model's own radiographs and labels through its merged image tower, with and without token merging, in
FP32. What it gains: the published size (random weights, on which speed does not depend) in PyTorch, onnxruntime and
OpenVINO, in FP32 and INT8, in turn with the tower as it is. A count that is within the limits and 1.25 times as fast
would be worth an option of its own.

    python benchmarks/token_merging.py --data ../shared/data/nih_cxr/metadata.csv [--model examples/models/demo] \
        [--count 4 --count 8] [--split val] [--compiled] [--processor-time] [--json]
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch
from published_size import SEED, published_sizes
from token_merging_tower import MergingTower

from alta_export.answers import Answers, GateInputs
from alta_export.cost import measure_cost
from alta_export.decisions import score_radiographs
from alta_export.families.alta import take_model
from alta_export.gate import LIMITS, make_labels, measure_gate
from alta_export.graph import export_graph, image_inputs
from alta_export.lower import GATE_LABELS, make_token_batches
from alta_export.options import DEFAULT_SAMPLES, ExportOptions
from alta_export.precision import PrecisionPlan, apply_precision
from alta_export.radiographs import StudySource, read_radiographs
from alta_export.ranges import measure_ranges
from alta_export.reading import Source, read_source
from alta_export.towers import MergedImageTower, PatchTower
from alta_export.verify import make_radiographs
from alta_runtimes import available
from alta_runtimes.choose import BACKENDS
from alta_sdk.bench.timing import time_in_turn
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_table
from alta_sdk.engine.processor import list_instruction_sets, processor_name
from alta_sdk.engine.tokenizer import PromptTokenizer
from alta_sdk.engine.vectors import Vector, to_unit_length
from alta_sdk.locate.phrase import match_words
from alta_sdk.statistics.resampling import bootstrap_auc
from alta_training.data.synthetic import make_random_model

WORTH = 1.25  # times as fast
FINDING = "Pneumonia"
COUNTS = (2, 4, 8, 12, 16)
PHRASES = ("There is pneumonia.", "There is a pleural effusion.", "There is cardiomegaly.")
PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class Cost:
    """What one count costs a model, as the gate measures it.

    auc, auc_low, auc_high: with merging, with the 95 % interval; auc_loss: against the tower as it is. map_median,
    map_worst: correlation of heat maps with those of the tower as it is. beyond: of the limits of INT8.
    """

    count: int
    multiply_adds: float
    mean_cosine: float
    worst_cosine: float
    score_shift: float
    flipped_share: float
    auc: float
    auc_low: float
    auc_high: float
    auc_loss: float
    auc_loss_low: float
    auc_loss_high: float
    map_median: float
    map_worst: float
    beyond: Sequence[str]


@dataclass(frozen=True)
class Gain:
    """Milliseconds of one radiograph by one runtime with one count, and how many times as fast as without."""

    runtime: str
    count: int
    median_ms: float
    times: float


@dataclass(frozen=True, eq=False)
class Asked:
    """A model and what it is asked: radiographs and prompts of the gate, and phrases for heat maps, by their words."""

    tower: MergedImageTower
    patches: PatchTower
    head: torch.nn.Module
    prompts: Vector
    words: Sequence[Vector]
    patch_scale: float
    inputs: GateInputs


def prepare(model: Path, data: Path, split: str) -> Asked:
    """Read a model and the radiographs of one split of a labelled table."""
    source, options = read_source(
        ExportOptions(model / f"{model.name}.safetensors", model / "text-model", Path("unwritten.alta"))
    )
    towers, whole = source.towers, take_model(source.towers).eval()
    studies = StudySource(data, split, FINDING, str(options.intensity_profile), towers.geometry, "--data")
    held = read_radiographs(studies, DEFAULT_SAMPLES, str(options.fusion_mode))
    merged = source.export.merge(towers)
    asked, labels = make_labels(list(dict.fromkeys((*GATE_LABELS, FINDING))))
    prompts, words = project_text(source, asked), [project_text(source, [phrase], words=True) for phrase in PHRASES]
    inputs = GateInputs(held, [], labels, FINDING, towers.logit_scale)
    tower = MergedImageTower(whole.image).eval()
    assert merged.patch_scale is not None
    patches = PatchTower(whole.image).eval()
    return Asked(tower, patches, whole.image.projection_head, prompts, words, merged.patch_scale, inputs)


def project_text(source: Source, prompts: list[str], *, words: bool = False) -> Vector:
    """Project prompts (n, embedding), or the words of one (words, embedding), by the trained text tower."""
    towers, model = source.towers, take_model(source.towers)
    tokenizer = PromptTokenizer(towers.tokenizer_json, towers.sizes["max_tokens"], towers.prompt_rule)
    found = []
    for batch in make_token_batches(tokenizer, prompts):
        hidden = model.text(torch.from_numpy(batch["input_ids"]), torch.from_numpy(batch["attention_mask"]))
        found.append(model.text.project(hidden)[words].numpy())
    return found[0][0] if words else np.concatenate(found)


def look(asked: Asked, tower: MergingTower) -> tuple[Vector, list[Vector]]:
    """Return the radiographs' unit vectors (n, embedding), and the heat maps (phrases, patches) of each."""
    vectors, maps = [], []
    for one in asked.inputs.radiographs.inputs():
        cls, tokens = tower.encode(torch.from_numpy(one["pixels"]), torch.from_numpy(one["slot"]), trace=True)
        vectors.append(asked.head(cls)[0].numpy())
        patches = asked.patches(tokens)[0].numpy()
        maps.append(np.stack([match_words(patches, words, asked.patch_scale).similarity for words in asked.words]))
    return to_unit_length(np.stack(vectors)), maps


def measure_costs(asked: Asked, counts: Sequence[int]) -> list[Cost]:
    """Compare the tower with each count with the tower as it is, which comes first."""
    vectors, maps = look(asked, MergingTower(asked.tower, 0))
    before, held = Answers(vectors, asked.prompts), asked.inputs.radiographs
    assert held.truth is not None
    finding = list(asked.inputs.labels).index(FINDING)
    costs = []
    for count in (0, *counts):
        tower = MergingTower(asked.tower, count).eval()
        vectors, other = look(asked, tower)
        after = Answers(vectors, asked.prompts)
        drift = measure_gate(before, after, asked.inputs)
        auc = bootstrap_auc(score_radiographs(after, asked.inputs)[:, finding], held.truth, held.patients)
        pairs = zip(np.concatenate(maps), np.concatenate(other), strict=True)
        alike = [np.corrcoef(one, two)[0, 1] for one, two in pairs]
        assert drift.auc_loss is not None and drift.auc_loss_low is not None and drift.auc_loss_high is not None
        costs.append(
            Cost(
                count,
                count_work(tower, held.pixels.shape[-1]),
                drift.image_mean_cosine,
                drift.image_worst_cosine,
                drift.max_score_shift,
                drift.flipped_share,
                *(auc.value, auc.low, auc.high, drift.auc_loss, drift.auc_loss_low, drift.auc_loss_high),
                float(np.median(alike)),
                float(min(alike)),
                drift.find_violations(LIMITS["int8"]),
            )
        )
    return costs


def count_work(tower: MergingTower, px: int) -> float:
    """Return the 10⁹ multiply-adds of one radiograph."""
    return measure_cost(tower, *(item.example[:1] for item in image_inputs(px))).multiply_adds / 1e9


def measure_gains(
    counts: Sequence[int], threads: int, rounds: int, clock: Callable[[], float], *, compiled: bool
) -> tuple[list[Gain], dict[int, float]]:
    """Time the published size with each count in turn with 0, runtime by runtime; return 10⁹ multiply-adds, too."""
    tower = MergedImageTower(make_random_model(published_sizes(), SEED).image).eval()
    shown = make_radiographs(2, 224)
    each = [{"pixels": shown[i : i + 1], "slot": np.array([i], dtype=np.int64)} for i in range(2)]
    given = [torch.from_numpy(each[0][name]) for name in ("pixels", "slot")]
    towers = {count: MergingTower(tower, count).eval() for count in (0, *counts)}
    gains = time_counts("PyTorch, eager", {n: partial(one, *given) for n, one in towers.items()}, rounds, clock)
    if compiled:
        ways = {n: partial(torch.compile(one, dynamic=False), *given) for n, one in towers.items()}
        gains += time_counts("torch.compile", ways, rounds, clock)
    graphs = {count: export_graph(one, image_inputs(224), ["cls"]) for count, one in towers.items()}
    ranges = measure_ranges(graphs[0], each, "minmax")  # of the same layers: speed does not depend on them
    for precision in ("fp32", "int8"):
        plan = PrecisionPlan(precision)
        files = {n: apply_precision(graph, plan, ranges).SerializeToString() for n, graph in graphs.items()}
        for runtime in (info.name for info in available() if info.is_available):
            # Not by `load`: it refuses operators that no export writes, and those of merging are such.
            open_session = partial(BACKENDS[runtime].open_session, device="cpu", threads=threads, compute="f32")
            sessions = {n: open_session(data, name="image graph") for n, data in files.items()}
            ways = {n: partial(session.run, each[0]) for n, session in sessions.items()}
            gains += time_counts(f"{runtime}, {precision}", ways, rounds, clock)
    return gains, {count: count_work(one, 224) for count, one in towers.items()}


def time_counts(
    runtime: str, ways: Mapping[int, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> list[Gain]:
    """Time what one runtime does with each count, in turn."""
    times = time_in_turn({str(count): run for count, run in ways.items()}, rounds, clock=clock)
    gains = []
    for count in ways:
        own = times[str(count)]
        ratio = statistics.median(without / one for without, one in zip(times["0"], own, strict=True))
        gains.append(Gain(runtime, count, 1e3 * statistics.median(own), ratio))
    return gains


def show(costs: Sequence[Cost], gains: Sequence[Gain], work: Mapping[int, float]) -> None:
    """Print both tables."""
    print_table(
        "What it costs the model, FP32 against FP32 without merging",
        ["merged a block", "10⁹ multiply-adds", "mean cosine", "worst", "score shift", "flipped", "AUC", "AUC loss"]
        + ["maps: median", "worst", "beyond the limits of INT8"],
        [
            (one.count, f"{one.multiply_adds:.2f}", f"{one.mean_cosine:.5f}", f"{one.worst_cosine:.5f}")
            + (f"{one.score_shift:.4f}", f"{100 * one.flipped_share:.2f} %")
            + (f"{one.auc:.3f} ({one.auc_low:.3f} to {one.auc_high:.3f})",)
            + (f"{one.auc_loss:.4f} ({one.auc_loss_low:.4f} to {one.auc_loss_high:.4f})",)
            + (f"{one.map_median:.4f}", f"{one.map_worst:.4f}", "; ".join(one.beyond) or "none")
            for one in costs
        ],
    )
    print_table(
        "What it gains at the published size",
        ["by", "merged a block", "10⁹ multiply-adds", "median ms", "times as fast"],
        [
            (one.runtime, one.count, f"{work[one.count]:.2f}", f"{one.median_ms:.1f}", f"{one.times:.2f}")
            for one in gains
        ],
    )


@click.command()
@click.option("--data", required=True, type=PATH, help="Labelled table: image, patient, view, findings, split.")
@click.option("--split", default="val", show_default=True, help="Its rows to take.")
@click.option("--model", default=Path("examples/models/demo"), type=PATH, help="The model's folder.")
@click.option("--count", "counts", multiple=True, type=click.IntRange(min=1), default=COUNTS, help="Tokens a block.")
@click.option("--threads", default=1, show_default=True, help="Threads of each.")
@click.option("--rounds", default=7, show_default=True, help="Timed runs of each; 0 times nothing.")
@click.option("--compiled", is_flag=True, help="Time torch.compile, too: minutes more.")
@click.option("--processor-time", is_flag=True, help="Count processor time: for a machine with other work.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@fail_in_one_line
def main(
    data: Path,
    split: str,
    model: Path,
    counts: tuple[int, ...],
    threads: int,
    rounds: int,
    compiled: bool,
    processor_time: bool,
    as_json: bool,
) -> None:
    """Measure token merging on a model and at the published size."""
    torch.set_num_threads(threads)
    with torch.no_grad():
        asked = prepare(model, data, split)
        costs = measure_costs(asked, counts)
        clock = time.process_time if processor_time else time.perf_counter
        gains, work = measure_gains(counts, threads, rounds, clock, compiled=compiled) if rounds else ([], {})
    within = {one.count for one in costs if not one.beyond}
    kept = sorted({one.count for one in gains if one.count in within and one.times >= WORTH})
    facts = {
        "model": f"{model.name}, {len(asked.inputs.radiographs)} radiographs of split {split}, {FINDING}",
        "processor": processor_name(),
        "instruction sets": ", ".join(list_instruction_sets()),
        "threads": threads,
        "time": "of the processor" if processor_time else "by the clock",
        "torch": torch.__version__,
        **{info.name: info.version for info in available() if info.is_available},
        f"within the limits of INT8 and {WORTH} times as fast somewhere": ", ".join(map(str, kept)) or "no count",
    }
    if as_json:
        told = {"costs": [asdict(one) for one in costs], "gains": [asdict(one) for one in gains]}
        click.echo(json.dumps({**told, **facts}, indent=1))
        return
    show(costs, gains, work)
    print_facts("Measured", facts.items())


if __name__ == "__main__":
    main()
