"""A bundle that release 0.1.0 wrote: it opens, scores as that release did, and is what was signed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import load_program
from fakes.manifests import read_content, write_content
from tolerances import EMBEDDING

from alta_sdk import Engine, EngineError, IntegrityError, Matcher
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.engine.manifest import SCHEMA_VERSION, parse_manifest
from alta_sdk.engine.manifest_content import ADDED, ALTA_CONTENT

GOLDEN = Path(__file__).parents[2] / "golden"
STORED, PUBLIC_KEY = GOLDEN / "bundle-v1.alta", GOLDEN / "bundle-v1.pub"
FACTS = json.loads((GOLDEN / "bundle-v1.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def study():
    return load_program(GOLDEN / "make_bundle_v1.py").make_study()


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(STORED, tmp_path / "copy.alta")


def ask(path, mode, study):
    matcher = Matcher(path, runtime="onnxruntime", threads=1, fusion_mode=mode)
    return {
        "embedding": matcher.embed(study).vector.tolist(),
        "scores": matcher.zero_shot(study, FACTS["labels"]).scores,
        "rsna": matcher.zero_shot(study, "rsna", temperature=None).scores,
        "chexpert5": matcher.zero_shot(study, "chexpert5").scores,
        "phrase": matcher.score(study, ["There is edema.", "no edema"]).tolist(),
        "local_score": matcher.locate(study, "edema").local_score,
    }


def flatten(facts):
    values = [list(value.values()) if isinstance(value, dict) else np.atleast_1d(value) for value in facts.values()]
    return np.concatenate(values)


@pytest.mark.parametrize("mode", FACTS["modes"])
def test_it_scores_as_the_release_that_wrote_it(study, mode):
    found, stored = ask(STORED, mode, study), FACTS["modes"][mode]
    assert {name: list(value) for name, value in found.items() if isinstance(value, dict)} == {
        name: list(value) for name, value in stored.items() if isinstance(value, dict)
    }
    # To the last bit on the processor that made them; another one adds in another order.
    np.testing.assert_allclose(flatten(found), flatten(stored), **EMBEDDING)


def test_it_is_read_as_an_engine_of_the_family_alta():
    manifest = open_bundle(STORED).manifest
    assert manifest.schema_version == 1 < SCHEMA_VERSION
    assert {name: getattr(manifest, name) for name in ALTA_CONTENT} == dict(ALTA_CONTENT)
    assert {name: graph.file for name, graph in manifest.graphs.items()} == {
        name: f"{name}.onnx" for name in ("image", "text", "patches")
    }
    assert all(drift.is_within_limits for drift in Engine.open(STORED, threads=1).run_self_test())


def test_its_name_its_text_and_its_signature_stay():
    written = (STORED / "manifest.json").read_bytes()
    manifest = open_bundle(STORED).manifest
    assert manifest.render() == written
    assert manifest.sha256 == FACTS["engine_sha256"]
    assert not ADDED & json.loads(manifest.render()).keys()
    manifest.check()
    engine = Engine.open(STORED, runtime="onnxruntime", threads=1, trust=PUBLIC_KEY)
    assert engine.provenance["signed_by"] == json.loads((STORED / "manifest.sig").read_bytes())["key"]


def test_a_changed_one_is_refused_under_the_signature(copy):
    manifest = parse_manifest((copy / "manifest.json").read_bytes())
    (copy / "manifest.json").write_bytes(replace(manifest, name="another").render())
    assert Engine.open(copy, runtime="onnxruntime", threads=1).manifest.name == "another"
    with pytest.raises(IntegrityError, match="not of this manifest"):
        Engine.open(copy, runtime="onnxruntime", threads=1, trust=PUBLIC_KEY)


@pytest.mark.parametrize("mode", FACTS["modes"])
def test_the_same_engine_with_all_of_it_written_down_scores_alike(copy, study, mode):
    manifest = parse_manifest((copy / "manifest.json").read_bytes())
    (copy / "manifest.json").write_bytes(replace(manifest, schema_version=2).render())
    assert open_bundle(copy).manifest == replace(manifest, schema_version=2)
    assert ask(copy, mode, study) == ask(STORED, mode, study)


def test_one_without_patches_has_no_heat_maps_as_before(copy, study):
    manifest = parse_manifest((copy / "manifest.json").read_bytes())
    files = tuple(file for file in manifest.files if file.name != "patches.onnx")
    engine = {name: value for name, value in manifest.engine.items() if name != "local_heads"}
    (copy / "manifest.json").write_bytes(replace(manifest, files=files, engine=engine).render())
    assert "patches" not in open_bundle(copy).manifest.graphs
    with pytest.raises(EngineError, match="no patch graph"):
        Matcher(copy, runtime="onnxruntime", threads=1).locate(study, "edema")


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "alta"},
        {"graphs": {}},
        {"fusion_modes": ["frontal"]},
        {"fusion_mode": "prior"},
        {"prompt_rule": "as-is"},
        {"schema_version": 2},
        {"schema_version": True},
        {"schema_version": 0},
        {"schema_version": None},
        {"logit_scale": None},
    ],
    ids=str,
)
def test_what_no_release_wrote_as_version_one_is_refused(copy, changes):
    content = read_content(copy) | changes
    write_content(copy, {name: value for name, value in content.items() if value is not None})
    with pytest.raises(IntegrityError, match=r"manifest\.json is damaged"):
        open_bundle(copy)
