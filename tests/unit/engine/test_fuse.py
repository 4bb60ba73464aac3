"""A radiograph beside its prior: features are kept by content alone, and a missing prior is no black one."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from fakes.follow_up import GEOMETRY, PAIRS
from fakes.manifests import reseal

from alta_export.bundle import pack_arrays
from alta_runtimes.session import SessionInfo
from alta_sdk import Engine, EngineError, IntegrityError, Matcher, Slot, Study
from alta_sdk.cli import main
from alta_sdk.dicom.intensity import MINMAX
from alta_sdk.engine import beside
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.engine.image_encoder import ENTRY_BYTES, ImageEncoder, RadiographCache
from alta_sdk.engine.manifest import BundleGraph


def make_image(seed, shape=(90, 80)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def make_study(frontal, prior=None):
    return Study.from_images(frontal, prior_frontal=prior, any_picture=True, intensity_profile=MINMAX)


@pytest.fixture
def matcher(follow_up_bundle):
    with Matcher(follow_up_bundle, runtime="onnxruntime", threads=1) as opened:
        yield opened


def count_runs(matcher, monkeypatch):
    """Return a list to which the number of radiographs of every run of the image graph is added."""
    sizes, images = [], matcher.engine._images
    run = images.run_all
    monkeypatch.setattr(images, "run_all", lambda pixels, slot: sizes.append(len(pixels)) or run(pixels, slot))
    return sizes


def prove_pairs(matcher):
    """Let the first batch of two, which is run both ways, be behind us."""
    matcher.embed(make_study(make_image(90), make_image(91)))


def test_a_prior_that_was_scored_as_current_costs_no_run_of_the_image_graph(matcher, monkeypatch):
    prove_pairs(matcher)
    earlier, later, latest = map(make_image, (1, 2, 3))
    sizes = count_runs(matcher, monkeypatch)
    matcher.zero_shot(make_study(earlier), ["edema"])
    assert sizes == [1]
    matcher.zero_shot(make_study(later, earlier), ["edema"])
    assert sizes == [1, 1], "the prior's features are those that it had when it was current"
    matcher.zero_shot(make_study(latest, later), ["edema"])
    assert sizes == [1, 1, 1]
    matcher.zero_shot(make_study(later, latest), ["edema"])
    matcher.progression(make_study(latest, earlier), "edema")
    assert sizes == [1, 1, 1], "in whatever order"


def test_a_study_with_a_prior_runs_both_as_one_batch_where_that_keeps_every_bit(matcher, monkeypatch):
    prove_pairs(matcher)
    sizes = count_runs(matcher, monkeypatch)
    images = make_image(4), make_image(5)
    together = matcher.embed(make_study(*images)).vector
    keeps = matcher.engine._images._keeps_rows[2]
    assert sizes == ([2] if keeps else [1, 1])
    with Matcher(matcher.engine.bundle.folder, runtime="onnxruntime", threads=1) as other:
        for image in images:
            other.embed(make_study(image))
        np.testing.assert_array_equal(other.embed(make_study(*images)).vector, together)


class Counting:
    """A session whose features depend on the batch, though its projections do not."""

    def __init__(self):
        self.sizes = []

    def run(self, inputs):
        pixels = inputs["pixels"].astype(np.float32)
        self.sizes.append(len(pixels))
        features = pixels[:, :, :2, :2] + np.float32(len(pixels))
        return {"projection": pixels[:, 0, 0, :3], "features": features}


GRAPH = BundleGraph("image.onnx", ("pixels",), ("features", "projection"))


def test_a_batch_whose_features_alone_differ_is_never_used():
    session = Counting()
    encoder = ImageEncoder(session, graph=GRAPH)
    pairs = [[(make_image(2 * n + m, (8, 8)), Slot(2 * m)) for m in (0, 1)] for n in (1, 2)]
    alone = [ImageEncoder(Counting(), graph=GRAPH).encode_features([one])[0] for one in pairs[1]]
    encoder.encode(pairs[0])
    np.testing.assert_array_equal(encoder.encode_features(pairs[1]), alone)
    assert session.sizes == [1, 1, 2, 1, 1]


def test_the_cache_counts_bytes_of_vectors_and_features():
    encoder = ImageEncoder(Counting(), RadiographCache(3 * (ENTRY_BYTES + 12 + 16) - 1), graph=GRAPH)
    images = [make_image(seed, (8, 8)) for seed in range(3)]
    for image in images:
        encoder.encode([(image, Slot.FRONTAL)])
    assert len(encoder.cache) == 2
    assert all(not array.flags.writeable for array in encoder.encode_all([(images[2], Slot.FRONTAL)])[0])
    with pytest.raises(EngineError, match="no features"):
        ImageEncoder(Counting(), graph=BundleGraph("i", ("pixels",), ("projection",))).encode_features([])


def test_a_missing_prior_is_not_a_black_one(matcher):
    image = make_image(6)
    black = np.zeros(image.shape, np.uint8)
    black[0, 0] = 1  # a picture of one grey level cannot be stretched
    alone, beside = matcher.embed(make_study(image)), matcher.embed(make_study(image, black))
    assert (alone.mode, beside.mode) == ("frontal", "prior")
    assert alone.vector @ beside.vector < 0.9999
    expected = matcher.engine.encode_radiograph(make_study(image).radiographs[Slot.FRONTAL], Slot.FRONTAL)
    np.testing.assert_allclose(alone.vector, expected / np.linalg.norm(expected), rtol=1e-6)


def test_a_study_without_a_prior_never_runs_the_fuse_graph(matcher, monkeypatch):
    runs, graph = [], matcher.engine._fuse._graph
    run = graph.run
    monkeypatch.setattr(graph, "run", lambda given: runs.append(1) or run(given))
    matcher.zero_shot(make_study(make_image(7)), ["edema"])
    assert not runs
    matcher.zero_shot(make_study(make_image(7), make_image(8)), ["edema"])
    assert len(runs) == 1


def test_doctor_and_the_self_test_know_the_pairs(follow_up_bundle):
    engine = Engine.open(follow_up_bundle, runtime="onnxruntime", threads=1)
    drifts = {drift.output: drift for drift in engine.run_self_test()}
    assert list(drifts) == ["image", "text", "paired", "patches"]
    assert drifts["paired"].rows == PAIRS and all(drift.is_within_limits for drift in drifts.values())
    shown = CliRunner().invoke(main, ["doctor", str(follow_up_bundle)])
    assert shown.exit_code == 0 and "paired" in shown.stdout and "biovil-t" in shown.stdout


@pytest.fixture
def copy(follow_up_bundle, tmp_path):
    return shutil.copytree(follow_up_bundle, tmp_path / "copy.alta")


def change_answers(folder, **changes):
    with np.load(folder / "selftest.npz") as stored:
        arrays = {**stored, **changes}
    (folder / "selftest.npz").write_bytes(pack_arrays({k: a for k, a in arrays.items() if a is not None}))
    return reseal(folder)


def test_a_machine_that_fuses_otherwise_opens_no_engine(copy):
    paired = np.roll(np.load(copy / "selftest.npz")["paired"], 1, axis=1)
    with pytest.raises(EngineError, match="self-test failed on this machine: paired"):
        Matcher(change_answers(copy, paired=paired))


@pytest.mark.parametrize("paired", [None, np.zeros((5, 128), np.float32), np.zeros((1, 4), np.float32)])
def test_answers_of_pairs_that_are_missing_or_of_another_shape_are_refused(copy, paired):
    with pytest.raises(IntegrityError, match=r"selftest\.npz"):
        Matcher(change_answers(copy, paired=paired))


def test_a_fuse_graph_that_was_changed_is_refused(copy):
    data = bytearray((copy / "fuse.onnx").read_bytes())
    data[-1] ^= 1
    (copy / "fuse.onnx").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"fuse\.onnx was changed"):
        Engine.open(copy)


def test_a_closed_engine_fuses_nothing_and_loads_nothing(follow_up_bundle):
    study, features = make_study(make_image(8), make_image(9)), np.zeros((6, 14, 14), np.float32)
    for check in (Engine.check_quickly, lambda _: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Engine, "check_quickly", check)
            opened = Engine.open(follow_up_bundle)
        opened.close()
        with pytest.raises(EngineError, match="engine is closed"):
            Matcher(opened).embed(study)
        with pytest.raises(EngineError, match="engine is closed"):
            opened._fuse.project(features, features)


def test_an_engine_without_the_graph_says_so(bundle):
    engine = Engine.open(bundle)
    radiograph = make_study(make_image(8)).radiographs[Slot.FRONTAL]
    with pytest.raises(EngineError, match="no features of a radiograph"):
        engine.encode_with_prior(radiograph, radiograph)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_both_runtimes_fuse_alike(follow_up_bundle, matcher, runtime):
    study = make_study(make_image(8), make_image(9))
    with Matcher(follow_up_bundle, runtime=runtime, threads=1) as opened:
        np.testing.assert_allclose(opened.embed(study).vector, matcher.embed(study).vector, atol=1e-5)
        assert opened.engine._fuse._graph._session.info.runtime == runtime


@pytest.mark.parametrize(
    ("info", "cpu", "expected"),
    [
        (("openvino", "cpu", 3), False, ("openvino", "cpu", 3)),
        (("onnxruntime", "cuda", 0), False, ("onnxruntime", "cuda", None)),
        (("onnxruntime", "cuda", 0), True, ("onnxruntime", "cpu", None)),
        (("tensorrt", "NVIDIA X", 0), False, ("onnxruntime", "cpu", None)),
    ],
)
def test_it_runs_where_the_image_graph_runs(follow_up_bundle, monkeypatch, info, cpu, expected):
    asked = []
    monkeypatch.setattr(beside, "load", lambda graph, **given: asked.append(given))
    opened = open_bundle(follow_up_bundle)
    image = SimpleNamespace(info=SessionInfo(info[0], "1", *info[1:]))
    beside.GraphBeside(opened, opened.manifest.graphs["fuse"], image, cpu=cpu)._load()
    assert [(one["runtime"], one["device"], one["threads"]) for one in asked] == [expected]


def test_the_geometry_is_the_manifests(follow_up_bundle):
    manifest = open_bundle(follow_up_bundle).manifest
    assert manifest.geometry == GEOMETRY and manifest.graphs["fuse"].file == "fuse.onnx"
