"""`alta-export --tune`: what runs an engine fastest on this machine is measured and kept."""

from dataclasses import replace

import pytest
from conftest import export_quietly

from alta_export import tune
from alta_export.options import check_options
from alta_export.show_report import show_report
from alta_runtimes import available
from alta_runtimes.choose import default_threads
from alta_sdk import Engine
from alta_sdk.engine.processor import list_instruction_sets, processor_name
from alta_sdk.engine.tuning import read_tuning
from alta_sdk.errors import ExportError

INSTALLED = {info.name for info in available() if "cpu" in info.devices} - {"tensorrt"}


@pytest.fixture(scope="module")
def report(export_options, tmp_path_factory):
    return export_quietly(export_options(tmp_path_factory.mktemp("tuned") / "chest.alta", tune=True))


def test_every_runtime_that_works_here_is_measured_and_the_fastest_opens_the_engine(report):
    tuning = read_tuning(report.manifest)
    assert set(tuning.runtimes) == INSTALLED
    assert (tuning.processor, tuning.instruction_sets) == (processor_name(), list_instruction_sets())
    assert {threads for _, threads in tuning.median_ms} == {default_threads(), max(1, default_threads() // 2)}
    assert all(milliseconds > 0 for milliseconds in tuning.median_ms.values())
    with Engine.open(report.path) as engine:
        told = engine.provenance
    chosen = report.manifest.engine["tuned"]["chosen"]
    assert told["runtime_reason"] == "fastest as measured at export on this processor"
    assert (told["runtime"].split()[0], told["threads"]) == (chosen["runtime"], chosen["threads"])


def test_the_report_shows_what_was_measured(report, capsys):
    show_report(report)
    shown = capsys.readouterr().out
    assert "One radiograph on this machine, median of 7 runs in turn" in shown
    assert all(name in shown for name in INSTALLED)


def test_the_graphs_are_the_same_as_without(report, bundle):
    for name in ("image.onnx", "text.onnx", "patches.onnx", "head.npz"):
        assert (report.path / name).read_bytes() == (bundle / name).read_bytes()


def test_without_it_nothing_of_it_is_told(bundle):
    with Engine.open(bundle) as engine:
        assert "tuned" not in engine.manifest.engine


@pytest.mark.parametrize(
    ("engine", "compute", "expected"),
    [("onnx", "f32", INSTALLED), ("onnx", "bf16", {"openvino"}), ("openvino", "f32", {"openvino"})],
)
def test_only_runtimes_that_may_run_the_engine_are_measured(export_options, engine, compute, expected):
    assert set(tune.list_runtimes(replace(export_options(), engine=engine), compute)) == expected & INSTALLED


def test_with_a_stated_date_it_is_refused(export_options, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    with pytest.raises(ExportError, match="with SOURCE_DATE_EPOCH an export depends on no machine: leave one"):
        check_options(export_options(tune=True))


def test_for_tensorrt_it_is_refused(export_options):
    with pytest.raises(ExportError, match="--tune is for CPUs"):
        check_options(export_options(tune=True, engine="trt", precision="fp16", defer_build=True))
