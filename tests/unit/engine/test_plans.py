"""TensorRT bundles: deferred until a GPU builds them, once, whole, and provably from what was exported."""

import copy
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import export_quietly, write_radiographs
from fakes.tensorrt import fail_at
from filelock import FileLock

from alta_export.cli import main as export_main
from alta_runtimes import load, tensorrt_build
from alta_sdk import Engine, EngineError, IntegrityError, Matcher, RuntimeUnavailable
from alta_sdk.cli import main
from alta_sdk.engine import plans
from alta_sdk.engine.bundle import open_bundle, read_manifest
from alta_sdk.engine.manifest import parse_manifest
from alta_sdk.engine.plans import build_bundle, is_built, strip_build
from alta_sdk.engine.self_test import Drift
from alta_sdk.engine.sessions import LoadedGraphs
from alta_sdk.files.atomic import new_file

BOTH_WAYS = "not been built yet: .*alta-export build NAME.alta, or open it once with allow_build=True"
ABSENT = "(absent)"
GIVEN = {"engine": "trt", "precision": "fp16", "defer_build": True}


@pytest.fixture(scope="module")
def exported(export_options):
    return export_quietly(export_options(**GIVEN, max_batch=4, workspace_mib=512)).path


@pytest.fixture
def deferred(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "copy.alta")
    return tmp_path / "copy.alta"


@pytest.fixture
def built(gpu, deferred):
    build_bundle(deferred)
    return deferred


@pytest.fixture
def builds(monkeypatch):
    """The graphs that were built, in order."""
    calls = []

    def count(graph, *given):
        calls.append(graph)
        return tensorrt_build.build_plan(graph, *given)

    monkeypatch.setattr(plans, "build_plan", count)
    return calls


def test_a_deferred_bundle_says_how_it_gets_built(deferred):
    for call in (lambda: Matcher(deferred), lambda: Engine.open(deferred, runtime="tensorrt")):
        with pytest.raises(RuntimeUnavailable, match=BOTH_WAYS):
            call()
    result = CliRunner().invoke(main, ["doctor", str(deferred)])
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert CliRunner().invoke(main, ["inspect", str(deferred)]).exit_code == 0


def test_a_deferred_bundle_holds_what_its_build_needs(deferred):
    manifest = read_manifest(deferred)
    section = manifest.engine["tensorrt"]
    assert manifest.engine["runtime"] == "tensorrt" and manifest.engine["precision"] == "fp16"
    assert section["workspace_mib"] == 512
    assert section["profiles"]["image"]["pixels"][2] == [4, 1, 224, 224]
    assert section["profiles"]["text"]["input_ids"][2] == [8, manifest.sizes["max_tokens"]]
    assert manifest.engine["image_precision"]["achieved"].keys() == {"fp16"}


def test_without_a_gpu_a_deferred_bundle_stays_as_it_is(deferred):
    before = (deferred / "manifest.json").read_bytes()
    with pytest.raises(RuntimeUnavailable, match="TensorRT engines are built on the GPU that runs them; here is no"):
        Matcher(deferred, allow_build=True)
    assert (deferred / "manifest.json").read_bytes() == before


def test_the_first_matcher_builds_and_the_second_opens(gpu, deferred, builds, radiograph_path):
    matcher = Matcher(deferred, allow_build=True)
    assert len(builds) == 2
    assert matcher.engine.provenance["runtime"] == "tensorrt 11.4.0.106"
    assert matcher.engine.provenance["device"] == "cuda"
    again = Matcher(deferred)
    assert Matcher(deferred, allow_build=True).engine.manifest.sha256 == again.engine.manifest.sha256
    assert len(builds) == 2
    scores = matcher.zero_shot(radiograph_path, "rsna").scores
    graphs = [load(deferred / name, device="cpu", runtime="onnxruntime") for name in ("image.onnx", "text.onnx")]
    reference = Matcher(Engine(open_bundle(deferred), LoadedGraphs(*graphs, "for this test")))
    expected = reference.zero_shot(radiograph_path, "rsna").scores
    np.testing.assert_allclose(list(scores.values()), list(expected.values()), rtol=1e-3)


def test_a_built_manifest_is_the_deferred_one_and_what_the_build_added(gpu, deferred):
    before = read_manifest(deferred)
    manifest = build_bundle(deferred)
    assert manifest.sha256 != before.sha256  # another engine: its numbers are this GPU's
    assert strip_build(parse_manifest(manifest.render())).render() == before.render()
    added = {file.name for file in manifest.files} - {file.name for file in before.files}
    assert added == {"image.plan", "text.plan", "timing.cache"}
    about = manifest.engine["tensorrt"]["built"]
    assert about["origin"]["gpu"] == "NVIDIA Example 4000"
    assert about["layers"]["image"]["fp16"] > 0
    assert about["deferred_sha256"] == before.sha256
    assert not list(deferred.glob(".*.tmp"))


def test_a_build_of_another_export_is_refused(built):
    manifest = read_manifest(built)
    (built / "manifest.json").write_bytes(replace(manifest, logit_scale=1.0).render())
    with pytest.raises(IntegrityError, match="built from another export"):
        Engine.open(built)


@pytest.mark.parametrize(
    "section",
    [
        None,
        {},
        {"profiles": {}, "workspace_mib": None, "built": {}},
        {"profiles": {}, "workspace_mib": None, "built": {"origin": {"gpu": "x"}}},
    ],
)
def test_a_manifest_that_no_build_wrote_is_refused(built, section):
    manifest = read_manifest(built)
    changed = replace(manifest, engine={**manifest.engine, "tensorrt": section})
    (built / "manifest.json").write_bytes(changed.render())
    for call in (Engine.open, build_bundle):
        with pytest.raises(IntegrityError, match="does not tell"):
            call(built)


def forge(folder, place, value):
    """Put a value at a place of what the manifest says of plans, or take it away."""
    manifest = read_manifest(folder)
    section = copy.deepcopy(manifest.engine["tensorrt"])
    *path, last = place
    inner = section
    for key in path:
        inner = inner[key]
    if value is ABSENT:
        del inner[last]
    else:
        inner[last] = value
    changed = replace(manifest, engine={**manifest.engine, "tensorrt": section})
    (folder / "manifest.json").write_bytes(changed.render())


BUILT_PLACES = [
    *[("built", name) for name in ("layers", "deferred_sha256", "origin")],
    *[("built", "layers", graph) for graph in ("image", "text")],
    *[("built", "origin", name) for name in ("gpu", "compute_capability", "tensorrt", "cuda")],
    *[("profiles", graph) for graph in ("image", "text")],
]


@pytest.mark.parametrize("value", [ABSENT, None, 3, "x", [], [1]], ids=repr)
@pytest.mark.parametrize("place", BUILT_PLACES, ids=".".join)
def test_what_a_build_wrote_is_whole_or_refused(built, place, value):
    if place[1] == "origin" and len(place) == 3 and value == "x":
        value = "x" * 201
    forge(built, place, value)
    for call in (Engine.open, build_bundle, lambda path: build_bundle(path, rebuild=True)):
        with pytest.raises(IntegrityError, match="does not tell"):
            call(built)
    result = CliRunner().invoke(export_main, ["build", str(built)])
    assert result.exit_code == 1 and result.stderr.splitlines()[-1].startswith("IntegrityError: manifest.json ")


def test_a_deferred_bundle_that_claims_a_build_is_refused_by_the_command(gpu, deferred):
    origin = dict.fromkeys(("gpu", "compute_capability", "tensorrt", "cuda"), "x")
    for built in (
        {"origin": origin},
        {"origin": origin, "layers": {"image": {}, "text": {}}, "deferred_sha256": "0" * 64},
    ):
        forge(deferred, ("built",), built)
        result = CliRunner().invoke(export_main, ["build", str(deferred)])
        assert result.exit_code == 1 and result.stderr.splitlines()[-1].startswith("IntegrityError: manifest.json ")
        assert "KeyError" not in result.output and result.stdout == ""


@pytest.mark.parametrize("place", [("profiles", "image"), ("profiles", "text"), ("profiles",), ("workspace_mib",)])
def test_a_deferred_bundle_without_what_its_build_needs_is_refused(gpu, deferred, place):
    forge(deferred, place, ABSENT)
    with pytest.raises(IntegrityError, match="does not tell"):
        build_bundle(deferred)


@pytest.mark.parametrize("name", ["image.plan", "text.plan", "timing.cache"])
def test_a_changed_plan_is_refused_before_tensorrt_reads_it(built, name):
    data = bytearray((built / name).read_bytes())
    data[-1] ^= 1
    (built / name).write_bytes(data)
    with pytest.raises(IntegrityError, match=f"{name} was changed"):
        Engine.open(built)


def test_four_at_once_build_once(gpu, deferred, builds):
    with ThreadPoolExecutor(4) as pool:
        manifests = list(pool.map(lambda _: build_bundle(deferred), range(4)))
    assert len(builds) == 2
    assert len({manifest.sha256 for manifest in manifests}) == 1


def test_who_waits_too_long_is_told(gpu, deferred, monkeypatch):
    monkeypatch.setattr(plans, "LOCK_TIMEOUT_S", 0.1)
    with FileLock(deferred / plans.LOCK), pytest.raises(EngineError, match="another program has been building"):
        build_bundle(deferred)


def test_a_build_that_fails_half_way_leaves_the_bundle_deferred(gpu, deferred, monkeypatch):
    before = (deferred / "manifest.json").read_bytes()

    monkeypatch.setattr(plans, "build_plan", fail_at(deferred / "text.onnx"))
    with pytest.raises(EngineError, match="out of memory"):
        build_bundle(deferred)
    assert (deferred / "manifest.json").read_bytes() == before
    with pytest.raises(RuntimeUnavailable, match=BOTH_WAYS):
        Engine.open(deferred)
    monkeypatch.setattr(plans, "build_plan", tensorrt_build.build_plan)
    assert is_built(build_bundle(deferred))


def test_an_engine_that_computes_something_else_is_left_unbuilt(gpu, deferred, monkeypatch):
    monkeypatch.setattr(plans, "run_self_test", spoil_drift)
    with pytest.raises(EngineError, match="cosine 0.500000 with the reference .* left unbuilt"):
        build_bundle(deferred)
    assert not is_built(open_bundle(deferred).manifest)


def spoil_drift(*_):
    return [Drift("image", 1, 0.5, 1.0, 0.99, 0.1)]


def test_a_folder_that_cannot_be_written_is_told(gpu, deferred, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(plans, "new_file", refuse)
    with pytest.raises(EngineError, match="cannot be built in its folder: Permission denied; make the folder writable"):
        build_bundle(deferred)
    monkeypatch.setattr(plans, "new_file", new_file)
    assert not is_built(open_bundle(deferred).manifest)


def test_another_gpu_refuses_the_engine_and_builds_it_again(gpu, built, builds):
    first = read_manifest(built)
    gpu.cuda.names = ("NVIDIA Other 5000",)
    with pytest.raises(RuntimeUnavailable, match="built on NVIDIA Example 4000 .* --rebuild"):
        Matcher(built, allow_build=True)  # allow_build builds what was not built, it does not replace
    assert build_bundle(built).sha256 == first.sha256 and not builds
    again = build_bundle(built, rebuild=True)
    assert len(builds) == 2
    assert again.engine["tensorrt"]["built"]["origin"]["gpu"] == "NVIDIA Other 5000"
    assert again.engine["tensorrt"]["built"]["deferred_sha256"] == first.engine["tensorrt"]["built"]["deferred_sha256"]
    assert Matcher(built).engine.manifest.sha256 == again.sha256
    assert (built / "timing.cache").read_bytes() == b"timed" * 4  # kept from the first


def test_a_rebuild_without_a_gpu_changes_nothing(built, gpu):
    before = (built / "manifest.json").read_bytes()
    gpu.cuda.names = ()
    with pytest.raises(RuntimeUnavailable, match="sees no GPU"):
        build_bundle(built, rebuild=True)
    assert (built / "manifest.json").read_bytes() == before


def test_bundles_and_runtimes_that_do_not_fit_are_told(bundle, deferred):
    with pytest.raises(EngineError, match="runs on onnx and is not built; export --engine trt --defer-build"):
        build_bundle(bundle)
    with pytest.raises(RuntimeUnavailable, match="holds no tensorrt engine: export --engine trt"):
        Engine.open(bundle, runtime="tensorrt")
    with pytest.raises(RuntimeUnavailable, match="exported for tensorrt, not for onnxruntime; export --engine onnx"):
        Engine.open(deferred, runtime="onnxruntime")


def test_the_command_builds_and_shows_what_was_built(gpu, deferred):
    result = CliRunner().invoke(export_main, ["build", str(deferred)])
    assert result.exit_code == 0, result.output
    assert "NVIDIA Example 4000" in result.stdout and "fp16" in result.stdout
    assert read_manifest(deferred).sha256 in result.stdout
    assert CliRunner().invoke(main, ["doctor", str(deferred)]).exit_code == 0


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (["--engine", "trt"], 1, "TensorRT engines are built on the GPU that runs them; here is no NVIDIA driver"),
        (["--engine", "trt"], 1, "Run this command there, or add --defer-build"),
        (["--defer-build"], 1, "--defer-build, --max-batch and --workspace go with --engine trt"),
        (["--max-batch", "4"], 1, "go with --engine trt"),
        (["--engine", "trt", "build", "x.alta"], 2, "build takes no option of the export"),
        (["build"], 2, "Missing argument"),
        (["nosuch"], 2, "No such command"),
        (["build", "nosuch.alta"], 1, "engine not found"),
    ],
)
def test_the_command_refuses_with_the_way_out(given, code, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(export_main, given)
    assert result.exit_code == code
    assert told in result.stderr
    assert not list(tmp_path.iterdir())


def test_on_the_gpu_the_export_builds_and_int8_is_signed(gpu, export_options, tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / "studies").mkdir()
    folder = write_radiographs(tmp_path / "studies", rng.integers(0, 256, (24, 224, 224), dtype=np.uint8))
    options = export_options(output=tmp_path / "int8.alta", engine="trt", precision="int8", calibration=folder)
    report = export_quietly(replace(options, accept_drift=True))
    assert is_built(report.manifest) and report.radiograph_s > 0
    assert report.manifest.engine["tensorrt"]["built"]["layers"]["image"]["int8"] > 0
    assert "calibration.json" in {file.name for file in report.manifest.files}
    assert Matcher(report.path).engine.provenance["precision"] == "int8"
