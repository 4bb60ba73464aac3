"""Where the time of an engine's image graph goes, by kind of operation, in each runtime that works here.

onnxruntime writes a profile of its own, OpenVINO counts by node; both count while they run one radiograph.

    python benchmarks/operator_profile.py NAME.alta [--threads 2] [--compute bf16] [--rounds 12]
"""

import json
import tempfile
from collections import Counter
from pathlib import Path

import click
import numpy as np

from alta_runtimes import available, choose
from alta_sdk.bench.measure import make_pixels
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_table
from alta_sdk.engine.bundle import IMAGE_GRAPH, open_bundle
from alta_sdk.engine.manifest_content import compute_type
from alta_sdk.engine.processor import processor_name

SHOWN = 12
Inputs = dict[str, np.ndarray]


def profile_onnxruntime(graph: bytes, threads: int, rounds: int, inputs: Inputs) -> Counter[str]:
    """Return milliseconds by operator, as onnxruntime's profiler counts them after its fusions."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        for _ in range(rounds):
            session.run(["cls"], inputs)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            found[event["args"]["op_name"]] += event["dur"] / rounds / 1e3
    return found


def profile_openvino(graph: bytes, threads: int, rounds: int, inputs: Inputs, compute: str) -> Counter[str]:
    """Return milliseconds by node type and kernel, as OpenVINO counts them."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": compute,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "PERF_COUNT": True,
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(graph), "CPU", settings).create_infer_request()
    found: Counter[str] = Counter()
    for _ in range(rounds):
        request.infer(inputs)
        for node in request.get_profiling_info():
            found[f"{node.node_type}, {node.exec_type}"] += node.real_time.total_seconds() * 1e3 / rounds
    return found


@click.command()
@click.argument("engine", metavar="NAME.alta", type=click.Path())
@click.option("--threads", type=click.IntRange(min=1), help="Threads to use. [default: every processor]")
@click.option("--compute", type=click.Choice(["f32", "bf16"]), help="OpenVINO's products. [default: the engine's]")
@click.option("--rounds", default=12, show_default=True, type=click.IntRange(min=1), help="Runs of each.")
@fail_in_one_line
def main(engine: str, threads: int | None, compute: str | None, rounds: int) -> None:
    """Print the milliseconds of one radiograph by kind of operation, the largest first."""
    bundle = open_bundle(engine)
    precision = bundle.manifest.engine["precision"]
    pixels, slot = make_pixels(1, bundle.manifest.geometry.crop_px)
    inputs, used = {"pixels": pixels, "slot": slot}, threads or choose.default_threads()
    graph = bundle.read(IMAGE_GRAPH)
    for runtime in (info.name for info in available() if info.is_available and "cpu" in info.devices):
        if runtime == "openvino":
            found = profile_openvino(graph, used, rounds, inputs, compute or compute_type(precision))
        else:
            found = profile_onnxruntime(graph, used, rounds, inputs)
        whole = sum(found.values())
        rows = [(name, f"{value:.2f}", f"{100 * value / whole:.1f} %") for name, value in found.most_common(SHOWN)]
        rest = whole - sum(value for _, value in found.most_common(SHOWN))
        rows += [("others", f"{rest:.2f}", f"{100 * rest / whole:.1f} %"), ("all", f"{whole:.2f}", "")]
        print_table(f"{bundle.manifest.name}, {precision}, {runtime}", ["operation", "ms", "share"], rows)
    print_facts("Measured on", [("processor", processor_name()), ("threads", used), ("rounds", rounds)])


if __name__ == "__main__":
    main()
