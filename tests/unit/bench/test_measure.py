import importlib
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from schemas import check_output

from alta_sdk import Study, ZeroShotResult
from alta_sdk.bench import follow_up, measure
from alta_sdk.bench.cold_start import measure_cold_start
from alta_sdk.bench.follow_up import make_runs, measure_follow_ups
from alta_sdk.bench.measure import choose_thread_counts, open_subjects
from alta_sdk.bench.synthetic import choose_finding
from alta_sdk.bench.timing import time_in_turn
from alta_sdk.cli import main
from alta_sdk.engine.prompt_words import WordCount
from alta_sdk.errors import EngineError


def test_runs_are_timed_in_turn_after_two_warm_ups():
    order = []
    times = time_in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3, pause_s=0)
    assert order == ["a", "b"] * 5
    assert [len(values) for values in times.values()] == [3, 3]


def test_another_clock_may_tell_the_seconds():
    told = iter(range(100))
    times = time_in_turn({"a": lambda: next(told), "b": lambda: None}, 2, pause_s=0, clock=lambda: next(told))
    assert times == {"a": [2, 2], "b": [1, 1]}


@pytest.mark.parametrize(("threads", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_thread_counts_double_up_to_all(threads, counts):
    assert choose_thread_counts(threads) == counts


def test_a_gpu_is_not_asked_with_every_number_of_threads():
    assert choose_thread_counts(8, "cuda") == [8]


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
    told = check_output("bench", done.stdout)
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


def test_a_follow_up_is_timed_beside_a_prior_that_was_seen(follow_up_bundle, bundle, monkeypatch):
    subjects = open_subjects((bundle, follow_up_bundle), ("onnxruntime",), 1)
    rows = []
    images = subjects[1].engine._images
    run = images.run_all
    monkeypatch.setattr(images, "run_all", lambda pixels, slot: rows.append(len(pixels)) or run(pixels, slot))
    alone, beside = make_runs(subjects[1].engine, 2)
    assert sum(rows) == 1, "the prior alone"
    for timed in (alone, beside, alone, beside):
        rows.clear()
        timed()
        assert sum(rows) == 1, "a new radiograph, whatever stands beside it"
    monkeypatch.setattr(follow_up, "time_in_turn", lambda runs, rounds: {"0 alone": [2.0] * 3, "0 beside": [3.0] * 3})
    (row,) = measure_follow_ups(subjects, 3)
    assert (row.name, row.alone_ms, row.beside_prior_ms, row.times_alone) == (subjects[1].name, 2000, 3000, 1.5)
    monkeypatch.undo()
    assert measure_follow_ups(subjects[:1], 3) == [], "ALTA's image tower reads no prior"


def test_families_are_told_where_there_are_others_than_alta(follow_up_bundle, bundle, monkeypatch, capsys):
    command = importlib.import_module("alta_sdk.cli.bench")
    monkeypatch.setattr(command, "measure_start", lambda subject: measure.Start(subject.name, subject.runtime, 1, 1))
    monkeypatch.setattr(command, "measure_file_to_score", lambda *_: [])
    arguments = ["bench", str(bundle), "--compare", str(follow_up_bundle), "--runtime", "onnxruntime", "--threads", "1"]
    done = CliRunner().invoke(main, [*arguments, "--rounds", "3", "--max-batch", "1", "--json"])
    assert done.exit_code == 0, done.output
    told = check_output("bench", done.stdout)
    assert [(row["family"], row["reads_px"]) for row in told["latency"]] == [("alta", 224), ("biovil-t", 56)]
    assert [row["beside_prior_ms"] > 0 for row in told["follow_up"]] == [True]
    latencies = [measure.Latency(**row) for row in told["latency"]]
    command.show_latencies(latencies)
    command.show_follow_ups([follow_up.FollowUp(**row) for row in told["follow_up"]])
    shown = " ".join(capsys.readouterr().out.split())
    assert "test (2) biovil-t 56 × 56" in shown and "A follow-up whose prior was seen" in shown
    command.show_latencies(latencies[:1])
    command.show_follow_ups([])
    shown = capsys.readouterr().out
    assert "What they read" not in shown and "A follow-up" not in shown


def test_a_finding_is_asked_that_the_vocabulary_knows():
    class Knows:
        def __init__(self, *words):
            self.words = words

        def count_words(self, prompts):
            return [WordCount(1, 0, 0) if prompt in self.words else WordCount(1, 1, 1) for prompt in prompts]

    assert choose_finding(Knows("pneumonia", "edema")) == "pneumonia"
    assert choose_finding(Knows("edema")) == "edema"
    assert choose_finding(Knows()) == "pneumonia", "which the engine then refuses as ever"


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
