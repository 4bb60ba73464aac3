import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from alta_sdk import Study, ZeroShotResult
from alta_sdk.bench import measure
from alta_sdk.bench.cold_start import measure_cold_start
from alta_sdk.bench.measure import choose_thread_counts, open_subjects
from alta_sdk.bench.timing import time_in_turn
from alta_sdk.cli import main
from alta_sdk.errors import EngineError


def test_runs_are_timed_in_turn_after_two_warm_ups():
    order = []
    times = time_in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3, pause_s=0)
    assert order == ["a", "b"] * 5
    assert [len(values) for values in times.values()] == [3, 3]


@pytest.mark.parametrize(("threads", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_thread_counts_double_up_to_all(threads, counts):
    assert choose_thread_counts(threads) == counts


def test_a_cold_start_reports_time_and_memory_of_its_own_process(bundle):
    started = measure_cold_start(bundle, "onnxruntime", 1)
    assert started.load_s > 0
    # numpy, onnxruntime and pillow alone; this process, with torch in it, holds far more
    assert 50e6 < started.peak_bytes < 500e6


def test_a_cold_start_of_no_engine_is_an_error(tmp_path):
    with pytest.raises(EngineError, match="alta doctor"):
        measure_cold_start(tmp_path / "none.alta", "onnxruntime", 1)


def test_bench_prints_one_object_and_draws(bundle, tmp_path):
    plot = tmp_path / "speed.png"
    command = ["bench", str(bundle), "--runtime", "onnxruntime", "--runtime", "openvino", "--threads", "1"]
    done = CliRunner().invoke(main, [*command, "--rounds", "3", "--max-batch", "2", "--plot", str(plot), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert {row["runtime"] for row in told["latency"]} == {"onnxruntime", "openvino"}
    assert told["latency"][0]["times_first"] == 1
    assert all(0 < row["p50_ms"] <= row["p95_ms"] and row["worst_cosine"] > 0.99999 for row in told["latency"])
    assert [(row["threads"], row["batch"]) for row in told["throughput"] if row["runtime"] == "openvino"] == [
        (1, 1),
        (1, 2),
    ]
    assert all(row["decode_ms"] > 0 and row["score_ms"] > 0 for row in told["from_file"])
    with Image.open(plot) as image:
        assert np.ptp(np.asarray(image.convert("L"))) > 200


def test_reading_and_scoring_are_timed_apart(bundle, monkeypatch):
    seconds = iter([2.0, 0.5])
    results = []

    def time_once(runs, rounds):
        results.append([type(run()) for run in runs.values()])
        return dict.fromkeys(runs, [next(seconds)] * rounds)

    monkeypatch.setattr(measure, "time_in_turn", time_once)
    (row,) = measure.measure_file_to_score(open_subjects((bundle,), ("onnxruntime",), 1), None, 3)
    assert results == [[Study], [ZeroShotResult]]
    assert (row.decode_ms, row.score_ms) == (2000, 500)


def test_engines_of_one_name_are_told_apart(bundle, tmp_path):
    other = shutil.copytree(bundle, tmp_path / "again" / bundle.name)
    subjects = open_subjects((bundle, other), ("onnxruntime",), 1)
    assert [subject.name for subject in subjects] == ["test", "test (2)"]


def test_a_picture_that_cannot_be_written_is_refused_before_measuring(bundle, tmp_path):
    (tmp_path / "there.png").write_bytes(b"a picture")
    for plot, message in ((tmp_path / "missing" / "x.png", "does not exist"), (tmp_path / "there.png", "exists")):
        done = CliRunner().invoke(main, ["bench", str(bundle), "--plot", str(plot)])
        assert done.exit_code == 1 and message in done.stderr
    assert (tmp_path / "there.png").read_bytes() == b"a picture"


def test_bench_tables_name_every_engine_and_no_path(bundle, radiograph_path):
    arguments = [
        "bench",
        str(bundle),
        "--runtime",
        "onnxruntime",
        "--threads",
        "1",
        "--rounds",
        "3",
        "--max-batch",
        "1",
    ]
    done = CliRunner().invoke(main, [*arguments, "--study", str(radiograph_path)])
    assert done.exit_code == 0, done.output
    for heading in ("One radiograph", "Radiographs per second", "From file to score", "process of its own"):
        assert heading in done.stdout
    assert radiograph_path.name not in done.output and str(bundle) not in done.output
