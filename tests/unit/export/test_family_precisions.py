"""BioViL-T and BioViL in lower precision: the files are what the manifest says, and pairs and heat maps are tested."""

import json

import numpy as np
import onnx
import pytest
from conftest import export_quietly, write_radiographs
from fakes.families import make_images, write_published

from alta_export import gate
from alta_export.gate import LIMITS, PATCH_COSINE, GateDrift
from alta_export.graph import find_products
from alta_export.options import ExportOptions
from alta_export.precision import read_precision
from alta_runtimes import load
from alta_sdk import Engine, ExportError, Matcher, Study
from alta_sdk.dicom.intensity import MINMAX
from alta_sdk.engine.bundle import open_bundle

KEPT = {"image": {"projector.first", "projector.last"}, "fuse": {"first", "last"}, "text": set()}
GIVEN = [("biovil-t", "int8"), ("biovil-t", "bf16"), ("biovil", "int8"), ("biovil", "fp16")]


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    def make(family, **changes):
        folder = tmp_path_factory.mktemp("export")
        (folder / "studies").mkdir()
        studies = write_radiographs(folder / "studies", make_images(20))
        options = ExportOptions(
            **write_published(family, folder), output=folder / "x.alta", calibration=studies, **changes
        )
        export_quietly(options)
        return options.output

    return make


@pytest.fixture(scope="module", params=GIVEN, ids="-".join)
def lowered(request, export):
    """A narrow engine; four channels of noise drift more than any gate lets through."""
    family, precision = request.param
    return family, precision, export(family, precision=precision, accept_drift=True)


def test_the_manifest_says_what_is_in_the_files(lowered):
    _, precision, path = lowered
    told = open_bundle(path).manifest.engine
    for name in [name for name in KEPT if (path / f"{name}.onnx").exists()]:
        graph = onnx.load(path / f"{name}.onnx")
        achieved = list(read_precision(graph).values())
        section = told[f"{name}_precision"]
        assert section["asked"] == precision
        assert section["achieved"] == {kind: achieved.count(kind) for kind in set(achieved)}
        assert section["achieved"].get(precision, 0) > 0 and set(achieved) <= {precision, "fp32"}
        assert KEPT[name] <= set(section["kept_in_fp32"])
        assert told[f"{name}_operators"]["Conv" if name == "image" else "MatMul"] > 0
    stem = read_precision(onnx.load(path / "image.onnx"))["trunk.stem"]
    assert stem == ("fp32" if precision == "int8" else precision)


def test_the_gate_measures_pairs_and_patches(lowered):
    family, _, path = lowered
    told = open_bundle(path).manifest.verification["gate"]
    beside = {"patches_mean_cosine"}
    if family == "biovil-t":
        beside |= {"paired_mean_cosine", "paired_worst_cosine", "paired_patches_mean_cosine"}
    measured = {name for name in told if "cosine" in name}
    assert measured - beside == {f"{one}_{kind}_cosine" for one in ("image", "text") for kind in ("mean", "worst")}
    assert all(0.5 < told[name] < 1 + 1e-6 for name in measured) and beside <= measured
    assert told["limits"]["patch_cosine"] == PATCH_COSINE


def test_each_runtime_passes_the_self_test_of_all_kinds(lowered):
    family, precision, path = lowered
    for runtime in ("openvino",) if precision == "bf16" else ("onnxruntime", "openvino"):
        with Engine.open(path, runtime=runtime, threads=1) as engine:
            drifts = {drift.output: drift for drift in engine.run_self_test()}
        paired = ["paired"] if family == "biovil-t" else []
        assert list(drifts) == ["image", "text", "prompts", *paired, "patches"]
        assert all(drift.is_within_limits for drift in drifts.values()), runtime


def test_a_fuse_graph_computes_what_the_manifest_says(lowered):
    family, precision, path = lowered
    if family != "biovil-t":
        return
    with Matcher(path, runtime="openvino" if precision == "bf16" else "onnxruntime", threads=1) as matcher:
        first, second = make_images(2, seed=5)
        study = Study.from_images(first, prior_frontal=second, any_picture=True, intensity_profile=MINMAX)
        embedded = matcher.embed(study)
        loaded = matcher.engine._fuse._graph
        now, before = matcher.engine._encode_pair(*list(study.radiographs.values())[:2])
        compute = "bf16" if precision == "bf16" else "f32"
        fuse = load(path / "fuse.onnx", runtime=loaded._session.info.runtime, compute=compute, threads=1)
        expected = fuse.run({"features": now[None], "prior_features": before[None]})["projection"][0]
    assert embedded.mode == "prior"
    np.testing.assert_allclose(embedded.vector, expected / np.linalg.norm(expected), atol=1e-6)


@pytest.fixture(scope="module")
def references(export):
    return {family: export(family) for family in ("biovil-t", "biovil")}


def test_heat_maps_of_phrases_are_drawn_and_stay_near_fp32(lowered, references):
    family, precision, path = lowered
    reference = references[family]
    runtime = "openvino" if precision == "bf16" else "onnxruntime"
    first, second = make_images(2, seed=5)
    for prior in (None, second):
        study = Study.from_images(first, prior_frontal=prior, any_picture=True, intensity_profile=MINMAX)
        maps = []
        for engine, used in ((path, runtime), (reference, "onnxruntime")):
            with Matcher(engine, runtime=used, threads=1) as matcher:
                maps.append(matcher.locate(study, "left lower lobe opacity").values)
        one, other = (values[np.isfinite(values)] for values in maps)
        assert np.corrcoef(one, other)[0, 1] > 0.7


def test_the_calibration_of_all_graphs_is_kept_and_read_again(export, tmp_path):
    cache = tmp_path / "calibration.json"
    given = {"precision": "int8", "accept_drift": True, "calibration_cache": cache}
    first = export("biovil-t", **given)
    stored = json.loads(cache.read_text())
    assert stored["ranges"].keys() == {"image", "fuse", "text"} == stored["smoothing"].keys()
    again = export("biovil-t", **given)
    for name in ("image", "fuse", "text"):
        assert (first / f"{name}.onnx").read_bytes() == (again / f"{name}.onnx").read_bytes()


def test_what_drifts_in_pairs_or_patches_alone_is_refused(monkeypatch, export):
    good = dict(
        radiographs=9, prompts=9, image_mean_cosine=0.999, image_worst_cosine=0.98, text_mean_cosine=0.999,
        text_worst_cosine=0.98, max_score_shift=0.01, flipped_share=0.0, auc_reference=None, auc_engine=None,
    )  # fmt: skip
    for name, value in (
        ("paired_mean_cosine", 0.98),
        ("paired_worst_cosine", 0.96),
        ("patches_mean_cosine", 0.89),
        ("paired_patches_mean_cosine", float("nan")),
    ):
        beside = {"paired_mean_cosine": 0.999, "paired_worst_cosine": 0.98, "patches_mean_cosine": 0.91, name: value}
        (found,) = GateDrift(**good, beside=beside).find_violations(LIMITS["int8"])
        assert found.startswith(name.replace("_", " ")) and "limit" in found
    monkeypatch.setattr(gate, "PATCH_COSINE", 1.01)
    with pytest.raises(ExportError, match="fp16 engine drifts beyond the limits: .*patches mean cosine"):
        export("biovil", precision="fp16")


def test_products_of_a_fuse_graph_are_named_after_their_layers(references):
    names = set(find_products(onnx.load(references["biovil-t"] / "fuse.onnx")))
    assert {"layers.0.query", "layers.2.fc2", "first", "last"} <= names
