"""Time one radiograph at the published size (width 768, 12 blocks, random weights): every precision and runtime
that works here against eager PyTorch FP32, with the matrix-product peak of the same run as the limit.

Speed does not depend on the weights. All run in one process, in turn, on the same number of threads, with a
pause between them. Ratios are taken round by round, so that a drift of the machine's speed cancels. The peak of
a precision is the rate of one large product, the best of all runtimes.

    python benchmarks/published_size.py [--threads 2] [--rounds 15] [--json]
"""

import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import BertConfig

from alta_export.families.alta import measure_merging
from alta_export.graph import IR_VERSION, OPSET, export_graph, image_inputs
from alta_export.precision import PrecisionPlan, Ranges, apply_precision
from alta_export.ranges import Arrays, measure_ranges
from alta_export.towers import MergedImageTower, MergedTextTower
from alta_export.verify import make_radiographs
from alta_runtimes import RuntimeUnavailable, Session, available, load
from alta_sdk.bench.timing import time_in_turn
from alta_sdk.cli.terminal import print_facts, print_table
from alta_sdk.engine.manifest_content import compute_type
from alta_sdk.engine.processor import processor_name
from alta_training.data.synthetic import make_random_model
from alta_training.model.alta import to_model_input
from alta_training.model.sizes import DecoderSizes, ImageSizes, ModelSizes, TextSizes

SEED = 7
EAGER = "eager PyTorch FP32"
CALIBRATED_ON = 4
DYNAMIC = "int8 dynamic"
PEAK_SIDE = 2048
STUDY = 4  # radiographs of a four-slot study
STUDY_TARGET = 3.6
TARGETS = {"fp32": (2.6, 0.8), "bf16": (4.0, 0.65), "int8": (8.0, 0.65)}  # times eager, share of the peak


@dataclass(frozen=True)
class Row:
    """One precision in one runtime. ratio: times as fast as eager. share: of the precision's peak."""

    precision: str
    runtime: str
    median_ms: float
    ratio: float
    share: float
    cosine: float


def published_sizes() -> ModelSizes:
    """Return the sizes of the published model (18,333,502 trained of 242,177,854 parameters)."""
    text = TextSizes(BertConfig(vocab_size=30522, max_position_embeddings=512))
    return ModelSizes(ImageSizes(), DecoderSizes(), text)


def make_product() -> onnx.ModelProto:
    """Make a graph of one large square product, for the peak."""
    side = PEAK_SIDE
    weight = np.random.default_rng(SEED).normal(size=(side, side)).astype(np.float32)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", side]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "peak",
        ends[:1],
        ends[1:],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def load_all(graph: onnx.ModelProto, ranges: Ranges, threads: int) -> dict[tuple[str, str], Session]:
    """Load a graph in every precision and runtime that works here."""
    sessions = {}
    for precision in ("fp32", "fp16", "bf16", "int8"):
        data = apply_precision(graph, PrecisionPlan(precision), ranges).SerializeToString()
        for runtime in (info.name for info in available() if info.is_available):
            compute = compute_type(precision)
            try:
                sessions[precision, runtime] = load(data, threads=threads, runtime=runtime, compute=compute)
            except RuntimeUnavailable:
                continue  # this precision is not computed here: the table has no row of it
    return sessions


def load_dynamic(graph: onnx.ModelProto, threads: int) -> Session:
    """Load a graph whose activations onnxruntime quantizes as it runs; OpenVINO has no such form of ONNX graphs.

    Its weights have one range each: by channel onnxruntime refuses products of the last block when it runs.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "dynamic.onnx"
        options = {"MatMulConstBOnly": True}
        products = ["MatMul", "Gemm"]
        quantize_dynamic(graph, output, products, weight_type=QuantType.QInt8, extra_options=options)
        return load(output, threads=threads, runtime="onnxruntime")


def measure_peaks(threads: int, rounds: int) -> dict[str, float]:
    """Return the rate of the large product, in 10⁹ operations a second, by precision: the best of the runtimes."""
    x = np.random.default_rng(SEED).normal(size=(PEAK_SIDE, PEAK_SIDE)).astype(np.float32)
    sessions = load_all(make_product(), {"product": (float(x.min()), float(x.max()))}, threads)
    runs: dict[str, Callable[[], object]] = {
        "/".join(key): partial(session.run, {"x": x}) for key, session in sessions.items()
    }
    left, right = torch.from_numpy(x), torch.randn(PEAK_SIDE, PEAK_SIDE)
    runs["fp32/torch"] = partial(torch.mm, left, right)
    peaks: dict[str, float] = {}
    for name, times in time_in_turn(runs, rounds).items():
        precision = name.split("/")[0]
        peaks[precision] = max(peaks.get(precision, 0.0), 2 * PEAK_SIDE**3 / statistics.median(times) / 1e9)
    return peaks


def meets_targets(rows: list[Row], study_ratio: float) -> dict[str, bool | None]:
    """Say of each target whether the best runtime meets it; None for a precision that does not run here."""
    met: dict[str, bool | None] = {}
    for precision, (ratio, share) in TARGETS.items():
        own = [row for row in rows if row.precision.split()[0] == precision]
        met[f"{precision}: {ratio}× eager"] = max(row.ratio for row in own) >= ratio if own else None
        met[f"{precision}: {share} of the peak"] = max(row.share for row in own) >= share if own else None
    met[f"four-slot study within {STUDY_TARGET}× one radiograph"] = study_ratio <= STUDY_TARGET
    return met


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine of two vectors."""
    return float((one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other))


@click.command()
@click.option("--threads", default=2, show_default=True, help="Threads of each.")
@click.option("--rounds", default=15, show_default=True, help="Timed runs of each.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(threads: int, rounds: int, as_json: bool) -> None:
    """Measure the merged tower in every precision and runtime against the unmerged tower in eager PyTorch."""
    torch.set_num_threads(threads)
    model = make_random_model(published_sizes(), SEED)
    merged = MergedImageTower(model.image).eval()
    cost = measure_merging(model, merged, MergedTextTower(model.text).eval())
    graph = export_graph(merged, image_inputs(224), ["cls"])
    shown = make_radiographs(STUDY, 224)
    one: Arrays = {"pixels": shown[:1], "slot": np.zeros(1, dtype=np.int64)}
    study: Arrays = {"pixels": shown, "slot": np.arange(STUDY, dtype=np.int64)}
    each = [{"pixels": shown[i : i + 1], "slot": np.array([i], dtype=np.int64)} for i in range(CALIBRATED_ON)]
    sessions = load_all(graph, measure_ranges(graph, each, "minmax"), threads)
    sessions[DYNAMIC, "onnxruntime"] = load_dynamic(graph, threads)
    pixels, slot = to_model_input(torch.from_numpy(shown[:1, 0])), torch.zeros(1, dtype=torch.int64)

    def run_eager() -> np.ndarray:
        with torch.inference_mode():
            return model.image(pixels, slot)[:, 0].numpy()

    runs: dict[str, Callable[[], object]] = {EAGER: run_eager}
    runs |= {"/".join(key): partial(session.run, one) for key, session in sessions.items()}
    times = time_in_turn(runs, rounds)
    peaks = measure_peaks(threads, max(3, rounds // 3))
    eager, work = times.pop(EAGER), 2 * cost["image_after"]["multiply_adds"] / 1e9
    truth = run_eager()[0]
    rows = []
    for key, session in sessions.items():
        own = times["/".join(key)]
        rows.append(
            Row(
                *key,
                median_ms=1e3 * statistics.median(own),
                ratio=statistics.median(a / b for a, b in zip(eager, own, strict=True)),
                share=work / statistics.median(own) / peaks[key[0].split()[0]],
                cosine=cosine(truth, session.run(one)["cls"][0]),
            )
        )
    best = min(rows, key=lambda row: row.median_ms)
    fastest = sessions[best.precision, best.runtime]
    pair = time_in_turn({"one": partial(fastest.run, one), "study": partial(fastest.run, study)}, rounds)
    study_ratio = statistics.median(b / a for a, b in zip(pair["one"], pair["study"], strict=True))
    facts = {
        "processor": processor_name(),
        "threads": threads,
        "torch": torch.__version__,
        **{info.name: info.version for info in available() if info.is_available},
        "multiply-adds, image": f"{cost['image_before']['multiply_adds']:,} → {cost['image_after']['multiply_adds']:,}",
        **{f"peak {name}": f"{rate:.0f} · 10⁹ operations a second" for name, rate in peaks.items()},
        "eager PyTorch FP32": f"{1e3 * statistics.median(eager):.1f} ms",
        "four-slot study, fastest engine": f"{study_ratio:.2f} times one radiograph",
    }
    met = meets_targets(rows, study_ratio)
    if as_json:
        told = {"rows": [vars(row) for row in rows], "peaks": peaks, "study_ratio": study_ratio, "targets": met}
        click.echo(json.dumps({**told, "targets_met": all(v is not False for v in met.values()), **facts}, indent=1))
        return
    print_table(
        "One radiograph at published size",
        ["precision", "runtime", "median ms", "times eager", "share of peak", "cosine with eager"],
        [
            (r.precision, r.runtime, f"{r.median_ms:.1f}", f"{r.ratio:.2f}", f"{r.share:.2f}", f"{r.cosine:.6f}")
            for r in rows
        ],
    )
    print_facts("Measured in one run, in turn", facts.items())
    said = {True: "met", False: "MISSED", None: "does not run here"}
    print_facts("Targets", [(name, said[state]) for name, state in met.items()])


if __name__ == "__main__":
    main()
