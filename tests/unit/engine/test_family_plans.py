"""TensorRT engines of other families: deferred with the shapes of their own graphs, built and checked as ALTA's are.

BioViL-T has a third plan, of the graph that reads a radiograph beside its prior.
"""

import copy
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from conftest import export_quietly, write_radiographs
from fakes.families import make_images, write_published
from fakes.tensorrt import MAGIC, fail_at
from onnx import numpy_helper

from alta_export.options import ExportOptions
from alta_runtimes import load, tensorrt_build
from alta_sdk import Engine, EngineError, IntegrityError, Matcher, Study
from alta_sdk.dicom.intensity import MINMAX
from alta_sdk.engine import plans
from alta_sdk.engine.bundle import open_bundle, read_manifest
from alta_sdk.engine.own_files import list_bundle_files
from alta_sdk.engine.plans import build_bundle, is_built, strip_build
from alta_sdk.engine.sessions import LoadedGraphs

FAMILIES = ("biovil-t", "biovil", "chexzero", "open-clip")
PLANS = ("fuse.plan", "image.plan", "text.plan")


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    made = {}

    def make(family, precision="fp16"):
        if (family, precision) not in made:
            folder = tmp_path_factory.mktemp("export")
            (folder / "studies").mkdir()
            images = make_images(20)
            given = {"calibration": write_radiographs(folder / "studies", images)}
            options = ExportOptions(
                **write_published(family, folder),
                output=folder / "x.alta",
                engine="trt",
                precision=precision,
                defer_build=True,
                max_batch=4,
                accept_drift=True,
                **(given if precision == "int8" else {}),
            )
            made[family, precision] = export_quietly(options).path
        return made[family, precision]

    return make


@pytest.fixture
def deferred(export, tmp_path):
    return shutil.copytree(export("biovil-t"), tmp_path / "copy.alta")


@pytest.fixture
def built(gpu, deferred):
    build_bundle(deferred)
    return deferred


def make_study(seed=3, prior=4):
    one, other = (np.random.default_rng(s).integers(0, 256, (90, 80), dtype=np.uint8) for s in (seed, prior))
    return Study.from_images(one, prior_frontal=other, any_picture=True, intensity_profile=MINMAX)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_deferred_built_and_scores(export, gpu, tmp_path, family, radiograph_path):
    path = shutil.copytree(export(family), tmp_path / "x.alta")
    manifest = read_manifest(path)
    profiles, px = manifest.engine["tensorrt"]["profiles"], manifest.geometry.crop_px
    assert profiles.keys() == manifest.graphs.keys()
    for name, graph in manifest.graphs.items():
        assert tuple(sorted(profiles[name])) == tuple(sorted(graph.inputs))
    assert profiles["image"]["pixels"] == [[1, 1, px, px], [1, 1, px, px], [4, 1, px, px]]
    assert profiles["text"]["input_ids"][2] == [8, manifest.sizes["max_tokens"]]
    manifest = build_bundle(path)
    built = manifest.engine["tensorrt"]["built"]
    assert built["layers"].keys() == manifest.graphs.keys()
    assert all(layers["fp16"] > 0 for layers in built["layers"].values())
    with Matcher(path) as matcher:
        assert matcher.engine.provenance["runtime"] == "tensorrt 11.4.0.106"
        assert 0 < matcher.zero_shot(str(radiograph_path), ["edema"]).scores["edema"] < 1
        assert all(drift.is_within_limits for drift in matcher.engine.run_self_test())


def test_both_graphs_of_biovil_t_have_profiles_of_448_px(deferred):
    profiles = read_manifest(deferred).engine["tensorrt"]["profiles"]
    assert profiles["image"]["pixels"][2] == [4, 1, 448, 448]
    width = profiles["fuse"]["features"][0][1]
    shapes = [[rows, width, 14, 14] for rows in (1, 1, 4)]
    assert profiles["fuse"] == {"features": shapes, "prior_features": shapes}


def test_a_prior_is_read_by_a_plan_of_its_own(gpu, built, monkeypatch):
    manifest = read_manifest(built)
    assert {file.name for file in manifest.files} >= set(PLANS)
    assert strip_build(manifest).sha256 == manifest.engine["tensorrt"]["built"]["deferred_sha256"]
    assert not any(file.name.endswith(".plan") for file in strip_build(manifest).files)
    graphs = [load(built / f"{name}.onnx", device="cpu", runtime="onnxruntime") for name in ("image", "text")]
    expected = Matcher(Engine(open_bundle(built), LoadedGraphs(*graphs, "for this test"))).embed(make_study())
    with Matcher(built) as matcher:
        # Nothing may be loaded later: the plan was opened with the others, and the ONNX graph stays aside.
        monkeypatch.setattr("alta_sdk.engine.beside.load", None)
        given = matcher.embed(make_study())
        assert matcher.engine._fuse._graph.info.runtime == "tensorrt"
    assert given.mode == "prior"
    np.testing.assert_allclose(given.vector, expected.vector, atol=1e-3)
    with pytest.raises(EngineError, match="engine is closed"):
        matcher.embed(make_study(5, 6))


def test_a_deferred_engine_checks_pairs_on_the_cpu(export, deferred):
    """Its export ran them, so the manifest's limits hold what they drift."""
    told = read_manifest(deferred).engine
    assert told["fuse_precision"]["achieved"] == {"fp16": 18, "fp32": 2}
    assert told["image_precision"]["kept_in_fp32"] == ["projector.first", "projector.last"]
    assert (deferred / "fuse.onnx").exists() and not list(deferred.glob("*.plan"))


@pytest.mark.parametrize("name", PLANS)
def test_a_changed_plan_is_refused_before_tensorrt_reads_it(built, name):
    data = bytearray((built / name).read_bytes())
    data[-1] ^= 1
    (built / name).write_bytes(data)
    with pytest.raises(IntegrityError, match=f"{name} was changed"):
        Engine.open(built)


@pytest.mark.parametrize("place", [("profiles",), ("built", "layers")], ids=".".join)
@pytest.mark.parametrize("change", ["lacking", "more"])
def test_what_is_told_of_other_graphs_than_the_engines_is_refused(gpu, bundle_of, place, change):
    path = bundle_of("biovil-t" if change == "lacking" else "biovil")
    build_bundle(path)
    manifest = read_manifest(path)
    section = copy.deepcopy(manifest.engine["tensorrt"])
    told = section
    for key in place:
        told = told[key]
    if change == "lacking":
        del told["fuse"]
    else:
        told["fuse"] = told["image"]
    changed = replace(manifest, engine={**manifest.engine, "tensorrt": section})
    (path / "manifest.json").write_bytes(changed.render())
    for call in (Engine.open, build_bundle, lambda one: build_bundle(one, rebuild=True)):
        with pytest.raises(IntegrityError, match=f"does not tell .*{'.'.join(place)} is of other graphs"):
            call(path)


@pytest.fixture
def bundle_of(export, tmp_path):
    return lambda family: shutil.copytree(export(family), tmp_path / "x.alta")


def test_a_build_that_fails_at_the_last_plan_leaves_the_bundle_deferred(gpu, deferred, monkeypatch):
    before = (deferred / "manifest.json").read_bytes()

    monkeypatch.setattr(plans, "build_plan", fail_at(deferred / "fuse.onnx"))
    with pytest.raises(EngineError, match="out of memory"):
        build_bundle(deferred)
    assert (deferred / "manifest.json").read_bytes() == before
    assert set(PLANS) <= list_bundle_files(deferred)  # what --overwrite may delete
    monkeypatch.setattr(plans, "build_plan", tensorrt_build.build_plan)
    assert is_built(build_bundle(deferred))


def test_an_engine_whose_pairs_are_wrong_is_left_unbuilt(gpu, deferred, monkeypatch):
    def build(graph, *given):
        is_fuse = (deferred / "fuse.onnx").read_bytes() == graph
        built = tensorrt_build.build_plan(graph, *given)
        return replace(built, plan=spoil(built.plan)) if is_fuse else built

    monkeypatch.setattr(plans, "build_plan", build)
    with pytest.raises(EngineError, match="built engine's paired embeddings .* left unbuilt"):
        build_bundle(deferred)
    assert not is_built(open_bundle(deferred).manifest)


def spoil(plan):
    """Return a fake's plan with another bias at its end."""
    head, data = plan[len(MAGIC) :].split(b"\n", 1)
    graph = onnx.load_from_string(data)
    bias = next(item for item in graph.graph.initializer if item.name == "last.bias")
    changed = 10 * np.random.default_rng(0).standard_normal(bias.dims).astype(np.float32)
    bias.CopyFrom(numpy_helper.from_array(changed, bias.name))
    return MAGIC + head + b"\n" + graph.SerializeToString()


def test_int8_is_signed_and_leaves_what_reads_pixels_in_fp32(export, gpu, tmp_path):
    path = shutil.copytree(export("biovil-t", "int8"), tmp_path / "x.alta")
    manifest = build_bundle(path)
    assert all(layers["int8"] > 0 for layers in manifest.engine["tensorrt"]["built"]["layers"].values())
    assert "trunk.stem" in manifest.engine["image_precision"]["kept_in_fp32"]
    assert Matcher(path).embed(make_study()).mode == "prior"
