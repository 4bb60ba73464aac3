"""Each family becomes a bundle that opens and passes its self-test, and states what its family decides."""

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from conftest import export_quietly, write_radiographs
from fakes.families import make_images, write_published
from tolerances import EMBEDDING

from alta_export.options import ExportOptions
from alta_export.reading import read_source
from alta_sdk import Engine, Matcher
from alta_sdk.cli import main
from alta_sdk.engine.vectors import to_unit_length
from alta_training.evaluation.encoders import open_encoder
from alta_training.families.registry import FAMILIES

STATED = {
    "biovil-t": {
        "graphs": {
            "image": (("pixels",), ("features", "projection", "patches")),
            "fuse": (("features", "prior_features"), ("projection", "patches")),
            "text": (("input_ids", "attention_mask"), ("projection",)),
        },
        "head": "none",
        "fusion_modes": ("prior", "frontal"),
        "slots": ("frontal", "prior_frontal"),
        "prompt_rule": "strip-final-punctuation",
        "prompt_average": "before-normalisation",
        "prompt_pair": ("There is {}", "There is no {}"),
        "patch_match": "phrase",
        "logit_scale": 1.0,
        "intensity_profile": "minmax-v1",
    },
    "biovil": {
        "graphs": {
            "image": (("pixels",), ("projection", "patches")),
            "text": (("input_ids", "attention_mask"), ("projection",)),
        },
        "head": "none",
        "fusion_modes": ("frontal", "present"),
        "slots": ("frontal", "prior_frontal"),
        "patch_match": "phrase",
        "logit_scale": 1.0,
    },
    "chexzero": {
        "graphs": {"image": (("pixels",), ("cls",)), "text": (("input_ids",), ("projection",))},
        "head": "linear",
        "fusion_modes": ("frontal", "present"),
        "slots": ("frontal", "lateral", "prior_frontal", "prior_lateral"),
        "prompt_rule": "as-is",
        "prompt_average": "after-normalisation",
        "prompt_pair": ("{}", "no {}"),
        "patch_match": "none",
        "logit_scale": 1.0,
        "intensity_profile": "mimic-jpg-v1",
    },
    "openai-clip": {
        "graphs": {"image": (("pixels",), ("cls",)), "text": (("input_ids",), ("projection",))},
        "head": "linear",
        "fusion_modes": ("frontal", "present"),
        "prompt_average": "after-normalisation",
        "prompt_pair": ("{}", "no {}"),
        "patch_match": "none",
        "intensity_profile": "voi-v1",
        "logit_scale_note": "",
    },
    "open-clip": {
        "graphs": {"image": (("pixels",), ("cls",)), "text": (("input_ids", "attention_mask"), ("projection",))},
        "head": "linear",
        "fusion_modes": ("frontal", "present"),
        "prompt_average": "after-normalisation",
        "logit_scale_note": "",
    },
}


@pytest.fixture(scope="module", params=STATED)
def exported(request, tmp_path_factory):
    """A family's name, the options of its export, and the bundle."""
    given = write_published(request.param, tmp_path_factory.mktemp("published"))
    options = ExportOptions(**given, output=tmp_path_factory.mktemp("engine") / "x.alta")
    export_quietly(options)
    return request.param, options, options.output


def test_the_manifest_states_what_the_family_decides(exported):
    family, _, path = exported
    with Engine.open(path, runtime="onnxruntime", threads=1) as engine:
        manifest = engine.manifest
    wanted = dict(STATED[family])
    graphs = wanted.pop("graphs")
    assert {name: (graph.inputs, graph.outputs) for name, graph in manifest.graphs.items()} == graphs
    assert {name: getattr(manifest, name) for name in wanted} == wanted
    published = next(one for one in FAMILIES if one.name == family)
    assert (manifest.family, manifest.method) == (family, published.method)
    assert (manifest.licence, manifest.intended_use) == (published.licence, published.intended_use)
    assert manifest.fusion_mode in manifest.fusion_modes
    assert manifest.verification["reference"] == "PyTorch float32, as published"
    assert manifest.notices[-1] == "Not for clinical use."
    for tower in ("image", "text"):
        costs = (manifest.merging[f"{tower}_{when}"] for when in ("after", "before"))
        after, before = costs
        assert after["parameters"] <= before["parameters"] and after["multiply_adds"] <= before["multiply_adds"]


def test_the_engine_gives_what_the_published_towers_give(exported):
    _, options, path = exported
    source, _ = read_source(options)
    px = source.towers.geometry.crop_px
    pixels = np.random.default_rng(3).integers(0, 256, (2, 1, px, px), dtype=np.uint8)
    with torch.no_grad():
        expected = to_unit_length(source.towers.image(torch.from_numpy(pixels)).numpy())
    with Engine.open(path, runtime="onnxruntime", threads=1) as engine:
        vectors = to_unit_length(engine.head.project(engine.encode_pixels(pixels, np.zeros(2, np.int64))))
    np.testing.assert_allclose(vectors, expected, **EMBEDDING)


def test_checkpoint_and_engine_are_measured_alike(exported, radiograph_path):
    _, options, path = exported
    engine = open_encoder(path)
    towers = open_encoder(
        options.checkpoint, options.text_model, tokenizer=options.tokenizer, preprocessing=options.preprocessing
    )
    for name in ("logit_scale", "prompt_average"):
        assert getattr(engine, name) == getattr(towers, name)
    assert engine.asking.prompt_pair == towers.asking.prompt_pair
    assert engine.asking.list_label_sets() == towers.asking.list_label_sets()
    both = [one.embed_radiographs([radiograph_path]) for one in (engine, towers)]
    np.testing.assert_allclose(*both, **EMBEDDING)
    both = [to_unit_length(one.project_texts(["there is edema.", "no edema"])) for one in (engine, towers)]
    np.testing.assert_allclose(*both, **EMBEDDING)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_it_passes_its_self_test_in_both_runtimes(exported, runtime):
    with Engine.open(exported[2], runtime=runtime, threads=1) as engine:
        assert all(drift.is_within_limits for drift in engine.run_self_test())


def test_studies_are_scored_with_it(exported, radiograph_path):
    with Matcher(exported[2], runtime="onnxruntime", threads=1) as matcher:
        assert 0 < matcher.zero_shot(str(radiograph_path), ["edema"]).scores["edema"] < 1


def test_the_self_test_holds_what_a_prior_changes(exported):
    family, _, path = exported
    with np.load(path / "selftest.npz") as arrays:
        names, rows = set(arrays), len(arrays["pixels"])
        assert not arrays["slot"].any()
        assert ("paired" in names) == (family == "biovil-t")
        assert ("patches" in names) == family.startswith("biovil")
        if family == "biovil-t":
            assert arrays["paired"].shape == arrays["image"].shape and len(arrays["paired"]) == rows
            assert np.abs(arrays["paired"] - arrays["image"]).max() > 1e-4


@pytest.mark.parametrize(
    ("family", "precision"), [("chexzero", "int8"), ("chexzero", "fp16"), ("open-clip", "int8"), ("open-clip", "bf16")]
)
def test_clip_families_are_lowered_as_alta_is(family, precision, tmp_path):
    images = make_images(20)
    (tmp_path / "studies").mkdir()
    output = tmp_path / "x.alta"
    export_quietly(
        ExportOptions(
            **write_published(family, tmp_path),
            output=output,
            precision=precision,
            calibration=write_radiographs(tmp_path / "studies", images),
        )
    )
    with Engine.open(output) as engine:
        assert all(drift.is_within_limits for drift in engine.run_self_test())
        achieved = engine.manifest.engine["image_precision"]["achieved"]
    assert achieved.get(precision, 0) > 0
    if family == "chexzero":  # the resize stays in FP32 whatever its products' names
        weights = onnx.load(output / "image.onnx").graph.initializer
        resizes = [item for item in weights if 320 in item.dims]
        assert resizes and {item.data_type for item in resizes} == {onnx.TensorProto.FLOAT}


def test_doctor_and_inspect_open_it(exported):
    family, _, path = exported
    for command in ("doctor", "inspect"):
        done = CliRunner().invoke(main, [command, str(path)])
        assert done.exit_code == 0, done.output
    assert family in done.stdout
