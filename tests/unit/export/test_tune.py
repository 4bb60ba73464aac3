"""`alta-export --tune`: what runs an engine fastest on this machine is measured and kept."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from conftest import export_quietly

from alta_export import tune
from alta_export.options import check_options
from alta_export.row_blocks import split_rows
from alta_export.show_report import show_report
from alta_runtimes import available, load
from alta_runtimes.choose import default_threads
from alta_sdk import Engine, Matcher, Study
from alta_sdk.bench.synthetic import make_grey
from alta_sdk.cli import main
from alta_sdk.engine import sessions, tuning
from alta_sdk.engine.processor import list_instruction_sets, processor_name
from alta_sdk.engine.tuning import read_tuning
from alta_sdk.errors import ExportError

INSTALLED = {info.name for info in available() if "cpu" in info.devices} - {"tensorrt"}
needs_openvino = pytest.mark.skipif("openvino" not in INSTALLED, reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def report(export_options, tmp_path_factory):
    return export_quietly(export_options(tmp_path_factory.mktemp("tuned") / "chest.alta", tune=True))


def test_every_runtime_that_works_here_is_measured_and_the_fastest_opens_the_engine(report):
    tuning = read_tuning(report.manifest)
    assert set(tuning.runtimes) == INSTALLED
    assert (tuning.processor, tuning.instruction_sets) == (processor_name(), list_instruction_sets())
    assert {way.threads for way in tuning.median_ms} == {default_threads(), max(1, default_threads() // 2)}
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


@pytest.fixture
def timed(monkeypatch):
    """Say how long each way takes: whatever `found` has by form, back end and threads."""

    def say(found):
        def time(sessions, radiograph):
            return {name: next(ms for key, ms in found.items() if key in name) for name in sessions}

        monkeypatch.setattr(tune, "time_radiographs", time)

    return say


@pytest.fixture
def opened(monkeypatch):
    """The image graphs that were loaded, by their files."""
    names = []

    def note(graph, *, name, **options):
        if name.startswith("image"):
            names.append(name)
        return load(graph, name=name, **options)

    monkeypatch.setattr(sessions, "load", note)
    return names


def write_site_key(file):
    file.write_text("5a" * 32 + "\n")
    file.chmod(0o600)
    return file


def embed(path, **options):
    with Matcher(path, **options) as matcher:
        return matcher.embed(Study.from_images(make_grey(256, 256))).vector


@needs_openvino
def test_tokens_in_two_parts_are_kept_where_they_pay_and_are_what_opens_there(
    export_options, timed, opened, monkeypatch
):
    timed({"split": 5.0, "whole": 6.0})
    report = export_quietly(export_options(tune=True))
    assert report.manifest.engine["tuned"]["chosen"]["form"] == "split"
    assert report.manifest.engine["tuned"]["split_cosine"] == pytest.approx(1, abs=1e-5)
    opened.clear()
    split = embed(report.path)
    assert opened == ["image-split.onnx"]
    whole = embed(report.path, threads=64)  # what was not measured
    other = embed(report.path, runtime="onnxruntime")
    monkeypatch.setattr(tuning, "processor_name", lambda: "another")
    elsewhere = embed(report.path)
    assert opened[1:] == ["image.onnx"] * 3
    np.testing.assert_array_equal(whole, elsewhere)
    np.testing.assert_allclose([split, other], [whole, whole], rtol=0, atol=1e-5)


@needs_openvino
def test_what_was_compiled_of_it_is_used(export_options, timed, tmp_path, monkeypatch):
    monkeypatch.setenv("ALTA_SITE_KEY", str(write_site_key(tmp_path / "site.key")))
    timed({"split": 5.0, "whole": 6.0})
    path = export_quietly(export_options(tmp_path / "chest.alta", tune=True)).path
    wanted = embed(path)
    result = CliRunner().invoke(main, ["engine", "compile", str(path)])
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "chest.alta.compiled" / "image-split.onnx.blob").exists()
    with Engine.open(path) as engine:
        assert "its compiled form" in engine.runtime_reason
    np.testing.assert_array_equal(embed(path), wanted)


@needs_openvino
def test_tokens_in_two_parts_are_not_kept_where_they_gain_less_than_a_twentieth(export_options, timed):
    timed({"split": 5.8, "whole": 6.0})
    report = export_quietly(export_options(tune=True))
    assert all("form" not in way for way in report.manifest.engine["tuned"]["measured"])
    assert "split_cosine" not in report.manifest.engine["tuned"]
    assert not report.manifest.lists("image-split.onnx")


@needs_openvino
def test_nor_where_they_give_something_else(export_options, timed, monkeypatch):
    timed({"split": 5.0, "whole": 6.0})

    def differ(graph):
        split = split_rows(graph)
        for weight in split.graph.initializer:
            if weight.name.endswith("norm1.bias"):
                weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + 1, weight.name))
        return split

    monkeypatch.setattr(tune, "split_rows", differ)
    assert not export_quietly(export_options(tune=True)).manifest.lists("image-split.onnx")
