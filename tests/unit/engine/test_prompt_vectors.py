"""An engine's own prompts are encoded at its export: its label sets need no text graph, and other prompts load it."""

import io
import shutil
from dataclasses import replace

import numpy as np
import pytest

from alta_export.bundle import pack_arrays
from alta_sdk import Engine, EngineError, IntegrityError, Matcher
from alta_sdk.engine import beside, sessions
from alta_sdk.engine import bundle as files
from alta_sdk.engine.arrays import list_arrays, read_arrays
from alta_sdk.engine.bundle import IMAGE_GRAPH, PROMPT_VECTORS, SELF_TEST, TEXT_GRAPH, open_bundle
from alta_sdk.engine.manifest import BundleFile, parse_manifest
from alta_sdk.engine.prompt_vectors import VECTORS, list_prompts, read_prompt_vectors
from alta_sdk.engine.sessions import list_kept

OTHER = "a phrase that is in no label set"


@pytest.fixture
def loads(monkeypatch):
    """The names of the graphs that were loaded, in order."""
    names = []
    for module in (sessions, beside):

        def load(graph, *, name, load=module.load, **more):
            names.append(name)
            return load(graph, name=name, **more)

        monkeypatch.setattr(module, "load", load)
    return names


def forge(bundle, folder, name, data):
    """Copy a bundle with other bytes in one file, sealed with right hashes; None leaves the file out."""
    shutil.copytree(bundle, folder)
    manifest = parse_manifest((folder / "manifest.json").read_bytes())
    files = [file for file in manifest.files if file.name != name]
    if data is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data)
        files.append(BundleFile.of(name, data))
    (folder / "manifest.json").write_bytes(replace(manifest, files=tuple(files)).render())
    return folder


def test_a_label_set_is_scored_without_loading_the_text_graph(bundle, radiograph_path, loads):
    with Matcher(bundle) as matcher:
        scores = matcher.zero_shot(radiograph_path, "chexpert5").scores
        assert loads == ["image.onnx"]
        matcher.zero_shot(radiograph_path, [OTHER])
        assert loads == ["image.onnx", "text.onnx"]
        assert matcher.zero_shot(radiograph_path, "chexpert5").scores == scores
    assert loads == ["image.onnx", "text.onnx"]


def test_the_weights_of_a_text_graph_that_is_not_loaded_are_not_kept(bundle, monkeypatch):
    copied = []

    def copy(blocks, name, copy=files.copy_blocks):
        copied.append(name)
        return copy(blocks, name)

    monkeypatch.setattr(files, "copy_blocks", copy)
    with Engine.open(bundle) as engine:
        assert sorted(copied) == [IMAGE_GRAPH]
        engine.project_prompts([OTHER])
        assert sorted(copied) == [IMAGE_GRAPH, TEXT_GRAPH]


def test_an_outline_is_kept_from_the_proof_to_its_use(bundle):
    opened = open_bundle(bundle, keep=list_kept)
    whole = bundle.joinpath(TEXT_GRAPH).read_bytes()
    first, again = opened.outline(TEXT_GRAPH), opened.outline(TEXT_GRAPH)
    assert first is not again and bytes(first) == bytes(again)
    assert len(first) == len(whole) and bytes(first).count(0) > whole.count(0)
    assert bytes(opened.copy(TEXT_GRAPH).view()) == whole  # what a back end gets is the file itself


def test_an_engine_that_is_closed_meanwhile_still_answers_what_has_begun(bundle):
    class ClosesWhenAsked(dict):
        def __contains__(self, prompt):
            engine.close()
            return super().__contains__(prompt)

    with Engine.open(bundle) as engine:
        prompt = list_prompts(engine.label_sets)[0]
        engine._texts._stored = ClosesWhenAsked(engine._texts._stored)
        assert np.isfinite(engine.project_prompts([prompt])).all()
        with pytest.raises(EngineError, match="closed"):
            engine.project_prompts([OTHER])


def test_stored_vectors_are_those_that_the_text_graph_gives(bundle, tmp_path, radiograph_path, loads):
    without = forge(bundle, tmp_path / "without.alta", PROMPT_VECTORS, None)
    with Engine.open(bundle) as engine, Engine.open(without) as older:
        prompts = list_prompts(engine.label_sets)
        assert loads == ["image.onnx", "image.onnx", "text.onnx"]
        np.testing.assert_allclose(engine.project_prompts(prompts), older.project_prompts(prompts), atol=1e-5)
        assert engine.count_words(prompts) == older.count_words(prompts)
        drifts = {drift.output: drift for drift in engine.run_self_test()}
        assert drifts["prompts"].rows == len(prompts) and drifts["prompts"].worst_cosine > 0.999999
        assert "prompts" not in {drift.output for drift in older.run_self_test()}


def test_the_self_test_tells_vectors_of_another_model(bundle, tmp_path):
    stored = np.stack(list(read_prompt_vectors(open_bundle(bundle), Engine.open(bundle).label_sets).values()))
    other = forge(bundle, tmp_path / "other.alta", PROMPT_VECTORS, pack_arrays({VECTORS: stored[::-1].copy()}))
    with Engine.open(other) as engine:
        drifts = {drift.output: drift for drift in engine.run_self_test()}
    assert not drifts["prompts"].is_within_limits and drifts["text"].is_within_limits


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored[:-1],
        lambda stored: stored[:, :-1],
        lambda stored: stored.astype(np.float64),
        lambda stored: np.full_like(stored, np.nan),
        lambda stored: stored * (np.arange(len(stored)) > 0)[:, None].astype(np.float32),
        lambda stored: stored * np.float32(1e-42),
    ],
)
def test_vectors_that_are_not_one_for_each_prompt_are_refused(bundle, tmp_path, change):
    with np.load(io.BytesIO((bundle / PROMPT_VECTORS).read_bytes())) as stored:
        data = pack_arrays({VECTORS: change(stored[VECTORS])})
    forged = forge(bundle, tmp_path / "forged.alta", PROMPT_VECTORS, data)
    with pytest.raises(IntegrityError, match=r"prompts\.npz"):
        Engine.open(forged)


def test_a_text_graph_that_computes_otherwise_is_refused_when_it_is_first_asked(bundle, tmp_path, radiograph_path):
    data = (bundle / SELF_TEST).read_bytes()
    arrays = read_arrays(data, sorted(list_arrays(data, SELF_TEST)), SELF_TEST)
    other = forge(bundle, tmp_path / "other.alta", SELF_TEST, pack_arrays({**arrays, "text": -arrays["text"]}))
    with Matcher(other) as matcher:
        matcher.zero_shot(radiograph_path, "chexpert5")
        for _ in range(2):
            with pytest.raises(EngineError, match="self-test failed on this machine: text embedding"):
                matcher.zero_shot(radiograph_path, [OTHER])


def test_a_text_graph_that_is_none_is_refused_at_the_opening(bundle, tmp_path):
    forged = forge(bundle, tmp_path / "forged.alta", TEXT_GRAPH, b"no graph")
    with pytest.raises(IntegrityError, match=r"text\.onnx"):
        Engine.open(forged)


def test_a_closed_engine_answers_no_stored_prompt(bundle):
    engine = Engine.open(bundle)
    prompt = list_prompts(engine.label_sets)[0]
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.project_prompts([prompt])
