"""An engine that was tuned at its export runs by what was fastest then, on processors like that one alone."""

import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner

from alta_runtimes import choose_runtime, onnxruntime_session, openvino_session
from alta_runtimes.choose import default_threads
from alta_sdk import Engine, IntegrityError
from alta_sdk.cli import main
from alta_sdk.engine import tuning
from alta_sdk.engine.manifest import parse_manifest
from alta_sdk.engine.processor import list_instruction_sets, processor_name
from alta_sdk.engine.tuning import Tuning, Way, read_tuning

pytest.importorskip("openvino")

WAYS = {("openvino", 4): 72.2, ("onnxruntime", 4): 64.2, ("onnxruntime", 2): 98.0, ("openvino", 2): 60.0}
SLOWER_OPENVINO = {("onnxruntime", 1): 64.2, ("openvino", 1): 72.2, ("onnxruntime", 2): 65.0}
MEASURED = "fastest as measured at export on this processor"
USUAL = "usually the fastest of those that work here"


def make_tuning(median_ms=SLOWER_OPENVINO, **changes):
    ways = {Way(*way): value for way, value in median_ms.items()}
    made = Tuning(processor_name(), list_instruction_sets(), default_threads(), 7, ways)
    return replace(made, **changes)


@pytest.fixture
def tune(bundle, tmp_path):
    """Write a copy of an engine that says what was measured."""

    def write(made, **engine):
        copy = shutil.copytree(bundle, tmp_path / "chest.alta", dirs_exist_ok=True)
        manifest = parse_manifest((bundle / "manifest.json").read_bytes())
        told = made.describe() if isinstance(made, Tuning) else made
        changed = replace(manifest, engine={**manifest.engine, **engine, "tuned": told})
        (copy / "manifest.json").write_bytes(changed.render())
        return copy

    return write


def tell(path, **options):
    with Engine.open(path, **options) as engine:
        told = engine.provenance
    return told["runtime"].split()[0], told["runtime_reason"], told["threads"]


def test_the_fastest_is_told_first_and_read_back(tune):
    made = make_tuning(WAYS)
    told = made.describe()
    assert told["chosen"] == {"runtime": "openvino", "threads": 2}
    assert [way["median_ms"] for way in told["measured"]] == [60.0, 64.2, 72.2, 98.0]
    assert made.runtimes == ["openvino", "onnxruntime"]
    read = read_tuning(parse_manifest((tune(made) / "manifest.json").read_bytes()))
    assert read == made and read.is_of_here


def test_on_such_a_processor_the_measured_runtime_and_its_threads_are_chosen(tune):
    assert tell(tune(make_tuning())) == ("onnxruntime", MEASURED, 1)


def test_an_engine_that_was_not_tuned_is_opened_as_before(bundle):
    assert tell(bundle) == ("openvino", USUAL, default_threads())


@pytest.mark.parametrize("other", [{"processor": "another"}, {"instruction_sets": ("mmx",)}])
def test_on_another_processor_nothing_was_measured(tune, other):
    told = tell(tune(make_tuning(**other)))
    assert told == ("openvino", f"{USUAL}; it was tuned on another processor", default_threads())


def test_threads_are_those_that_were_measured_only_where_as_many_processors_may_be_used(tune, monkeypatch):
    path = tune(make_tuning(processors=default_threads() + 1))
    assert tell(path) == ("onnxruntime", MEASURED, default_threads())


def test_what_is_given_wins(tune):
    path = tune(make_tuning())
    assert tell(path, runtime="openvino") == ("openvino", "asked for", default_threads())
    assert tell(path, threads=2)[1:] == (MEASURED, 2)


def test_where_the_fastest_does_not_work_the_next_is_chosen_and_the_reason_told(tune, monkeypatch):
    gone = replace(onnxruntime_session.is_available(), version=None, devices=(), reason="not installed: get it")
    monkeypatch.setattr(onnxruntime_session, "is_available", lambda: gone)
    assert tell(tune(make_tuning()))[:2] == ("openvino", f"{MEASURED}; onnxruntime not installed: get it")


def test_where_none_of_the_measured_works_the_usual_one_is_chosen(tune, monkeypatch):
    gone = replace(openvino_session.is_available(), version=None, devices=(), reason="not installed: get it")
    monkeypatch.setattr(openvino_session, "is_available", lambda: gone)
    path = tune(make_tuning({("openvino", 1): 5.0}))
    assert tell(path)[:2] == ("onnxruntime", f"{USUAL}; openvino not installed: get it")


def test_a_runtime_that_this_version_does_not_know_is_passed_over(tune):
    assert tell(tune(make_tuning({("another", 1): 5.0, ("onnxruntime", 1): 6.0})))[:2] == ("onnxruntime", MEASURED)


def test_an_engine_for_one_runtime_stays_with_it_and_takes_its_threads(tune):
    path = tune(make_tuning({("openvino", 1): 5.0, ("openvino", 2): 6.0}), runtime="openvino")
    assert tell(path) == ("openvino", "the engine was exported for it", 1)


def test_a_measurement_on_the_cpu_does_not_count_on_a_gpu(monkeypatch):
    on_gpu = replace(onnxruntime_session.is_available(), devices=("cpu", "cuda"))
    monkeypatch.setattr(onnxruntime_session, "is_available", lambda: on_gpu)
    assert choose_runtime(measured=["openvino"])[1].startswith(USUAL)
    assert choose_runtime(device="cpu", measured=["onnxruntime"]) == ("onnxruntime", MEASURED)


@pytest.mark.parametrize(
    "change",
    [
        {"measured": []},
        {"measured": [{"runtime": "openvino", "threads": 0, "median_ms": 1.0}]},
        {"measured": [{"runtime": "openvino", "threads": 1, "median_ms": "fast"}]},
        {"measured": {"openvino": 1.0}},
        {"processors": "all"},
        {"instruction_sets": None},
        {"chosen": "openvino"},
    ],
)
def test_a_forged_record_is_refused(tune, change):
    path = tune({**make_tuning().describe(), **change})
    with pytest.raises(IntegrityError):
        Engine.open(path)


def test_inspect_shows_one_line_for_each_that_was_measured(tune):
    path = tune(make_tuning())
    result = CliRunner().invoke(main, ["inspect", str(path)])
    assert result.exit_code == 0, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "tuned, measured median ms 64.2, runtime onnxruntime, threads 1" in lines
    assert "tuned, measured median ms 72.2, runtime openvino, threads 1" in lines
    assert "tuned, chosen, runtime onnxruntime" in lines


def test_the_processor_is_compared_by_model_and_instruction_sets(monkeypatch):
    made = make_tuning()
    monkeypatch.setattr(tuning, "processor_name", lambda: "another")
    assert not made.is_of_here
