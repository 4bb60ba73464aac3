"""An engine of another family than ALTA's, made of an ALTA bundle: what its manifest says decides."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from fakes.manifests import read_content, reseal, write_content

from alta_export.bundle import pack_arrays
from alta_sdk import Engine, EngineError, IntegrityError, Matcher, PromptError, Study, ViewError
from alta_sdk.cli import main
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.engine.heads import LinearHead
from alta_sdk.engine.image_encoder import ImageEncoder
from alta_sdk.engine.manifest import BundleFile, BundleGraph
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.matching.scoring import average_prompts
from alta_sdk.study.slots import Slot

OTHER = {
    "family": "chexzero",
    "head": "linear",
    "fusion_modes": ("frontal", "present"),
    "slots": ("frontal", "prior_frontal"),
    "prompt_rule": "strip-final-punctuation",
    "prompt_average": "after-normalisation",
    "prompt_pair": ("{}", "no {}"),
    "patch_match": "none",
    "logit_scale": 1.0,
    "logit_scale_note": "1, as published",
    "licence": "MIT",
}


@pytest.fixture(scope="module")
def other(bundle, tmp_path_factory):
    folder = shutil.copytree(bundle, tmp_path_factory.mktemp("other") / "other.alta")
    engine = Engine.open(bundle, runtime="onnxruntime", threads=1)
    width, embedding = engine.head.width, engine.manifest.sizes["embedding"]
    head = LinearHead(np.random.default_rng(16).standard_normal((embedding, width)))
    with np.load(folder / "selftest.npz") as stored:
        arrays = dict(stored)
    arrays["image"] = to_unit_length(head.project(engine.encode_pixels(arrays["pixels"], arrays["slot"])))
    (folder / "selftest.npz").write_bytes(pack_arrays(arrays))
    (folder / "head.npz").write_bytes(pack_arrays(head.arrays()))
    return reseal(folder, **OTHER)


@pytest.fixture(scope="module")
def ask(other):
    return Matcher(other, runtime="onnxruntime", threads=1)


@pytest.fixture
def study(radiograph_path):
    return Study.from_images(frontal=radiograph_path, lateral=radiograph_path, prior_frontal=radiograph_path)


def test_its_names_ask_its_own_pair_averaged_its_own_way(ask, study):
    by_name = ask.zero_shot(study, ["edema"])
    text = ask.embed_text(["edema", "no edema"]).astype(np.float64)
    cosines = text @ ask.embed(study).vector
    assert by_name.scores["edema"] == pytest.approx(np.exp(cosines[0]) / np.exp(cosines).sum(), abs=1e-6)
    assert by_name.provenance["logit_scale"] == 1.0
    projections = ask.engine.project_prompts(["edema", "small effusion"])
    each = to_unit_length(projections).astype(np.float64).mean(axis=0)
    np.testing.assert_array_equal(average_prompts(projections, "after-normalisation"), to_unit_length(each))
    found = ask.zero_shot(study, {"a": ["edema", "small effusion"], "b": ["pneumonia"]}).scores
    logits = np.array([to_unit_length(each), ask.embed_text(["pneumonia"])[0]]) @ ask.embed(study).vector
    assert found["a"] == pytest.approx(np.exp(logits[0]) / np.exp(logits).sum(), abs=1e-6)


def test_its_prompts_lose_their_final_marks_and_hold_no_special_tokens(ask):
    for marked in ("edema.", "edema!?.", "edema?"):
        np.testing.assert_array_equal(ask.embed_text([marked]), ask.embed_text(["edema"]))
    assert ask.engine.count_words(["edema?"])[0].words == 1
    for special in ("edema [SEP] effusion", "[mask]", "[UNK] edema"):
        with pytest.raises(PromptError, match=r"prompt 2 of 2 holds a special token"):
            ask.embed_text([f"edema of {len(special)}", special])
    for empty in ("...", "?!", ""):
        with pytest.raises(PromptError, match="is empty"):
            ask.embed_text([empty])


def test_it_reads_the_slots_of_its_family(other, study):
    present = Matcher(other, runtime="onnxruntime", threads=1, fusion_mode="present")
    result = present.zero_shot(study, ["edema"])
    assert result.provenance["slots"] == ["frontal", "prior_frontal"]
    assert result.provenance["fusion_mode"] == "present"


@pytest.mark.parametrize("mode", ["published", "prior", "mean"])
def test_a_mode_that_it_has_not_is_refused(other, mode):
    with pytest.raises(EngineError, match="fusion mode is not supported; choose one of: frontal, present$"):
        Matcher(other, runtime="onnxruntime", threads=1, fusion_mode=mode)


def test_the_command_refuses_it_on_one_line(other, radiograph_path):
    given = ["score", str(radiograph_path), "--labels", "edema,", "--engine", str(other), "--fusion-mode", "published"]
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 1 and "choose one of: frontal, present" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_it_has_no_heat_maps_and_says_why(ask, study):
    with pytest.raises(EngineError, match="no heat maps: the family chexzero matches whole radiographs"):
        ask.locate(study, "edema")


def test_phrases_without_patches_are_refused_where_the_graph_lies(other, study, tmp_path):
    folder = shutil.copytree(other, tmp_path / "phrase.alta")
    image = open_bundle(folder).manifest.graphs["image"]
    graphs = {**open_bundle(folder).manifest.graphs, "image": replace(image, outputs=(*image.outputs, "patches"))}
    with np.load(folder / "selftest.npz") as stored:
        arrays = {**stored, "patches": stored["patches"]}
    (folder / "selftest.npz").write_bytes(pack_arrays(arrays))
    reseal(folder, patch_match="phrase", graphs=graphs)
    with pytest.raises(EngineError, match='graph does not give "patches"'):
        Matcher(folder, runtime="onnxruntime", threads=1).locate(study, "edema")


def test_an_image_graph_without_the_features_that_a_prior_needs_is_refused(other, study, tmp_path):
    folder = shutil.copytree(other, tmp_path / "prior.alta")
    shutil.copy(folder / "text.onnx", folder / "fuse.onnx")
    manifest = open_bundle(folder).manifest
    image = replace(manifest.graphs["image"], outputs=("cls", "features"))
    fuse = BundleGraph("fuse.onnx", ("features", "prior_features"), ("projection",))
    reseal(
        folder,
        graphs={"image": image, "text": manifest.graphs["text"], "fuse": fuse},
        fusion_modes=("frontal", "prior"),
        fusion_mode="prior",
        files=tuple(
            BundleFile.of(name, (folder / name).read_bytes())
            for name in (*(file.name for file in manifest.files), "fuse.onnx")
        ),
    )
    with pytest.raises(EngineError, match='graph does not give "features"'):
        Matcher(folder, runtime="onnxruntime", threads=1)


def test_inspect_says_what_is_its_own_and_of_alta_nothing_more(other, bundle):
    shown = CliRunner().invoke(main, ["inspect", str(other)]).stdout
    for said in ("chexzero", "frontal, present", "strip-final-punctuation", "1, as published", "{} / no {}"):
        assert said in shown
    assert "averaged" not in CliRunner().invoke(main, ["inspect", str(bundle)]).stdout


def test_a_head_of_another_kind_than_the_manifest_says_is_refused(other, bundle, tmp_path):
    folder = shutil.copytree(other, tmp_path / "head.alta")
    shutil.copy(bundle / "head.npz", folder / "head.npz")
    with pytest.raises(IntegrityError, match=r'head\.npz holds a head of kind "mlp", not "linear"'):
        Engine.open(reseal(folder), runtime="onnxruntime", threads=1)


def set_graph(name, **changes):
    return lambda content: content["graphs"][name].update(changes)


def put(**changes):
    return lambda content: content.update(changes)


FORGED = {
    "another family": put(family="../x"),
    "family is no text": put(family=["alta"]),
    "head of no kind": put(head="code"),
    "no head": put(head="none"),
    "no mode": put(fusion_modes=[]),
    "default is none of them": put(fusion_mode="present", fusion_modes=["frontal"]),
    "a mode twice": put(fusion_modes=["frontal", "frontal"]),
    "without frontal": put(fusion_mode="present", fusion_modes=["present"]),
    "prior without its graph": put(fusion_modes=["frontal", "prior"]),
    "published without its head": put(fusion_modes=["frontal", "published"]),
    "no slot": put(slots=[]),
    "no frontal slot": put(slots=["lateral"]),
    "a slot twice": put(slots=["frontal", "frontal"]),
    "prior without its slot": lambda content: (
        content.update(fusion_modes=["frontal", "prior"], slots=["frontal"]),
        content["graphs"]["image"]["outputs"].append("features"),
        content["graphs"].update(
            fuse={"file": "fuse.onnx", "inputs": ["features", "prior_features"], "outputs": ["projection"]}
        ),
        content["files"].append({"name": "fuse.onnx", "size": 1, "sha256": "0" * 64}),
    ),
    "a rule of no kind": put(prompt_rule="eval"),
    "an average of no kind": put(prompt_average="median"),
    "one prompt": put(prompt_pair=["{}"]),
    "a prompt without its place": put(prompt_pair=["finding", "no {}"]),
    "a prompt with attributes": put(prompt_pair=["{0.__class__}", "no {}"]),
    "a prompt of control characters": put(prompt_pair=["{}\x1b[2J", "no {}"]),
    "a match of no kind": put(patch_match="lines"),
    "phrases without patches": put(patch_match="phrase"),
    "a note that is none": put(logit_scale_note=3),
    "a scale of nothing": put(logit_scale=0),
    "no graphs": put(graphs={}),
    "graphs are no object": put(graphs=[]),
    "a graph of no kind": lambda content: content["graphs"].update(other=content["graphs"]["image"]),
    "no text graph": lambda content: content["graphs"].pop("text"),
    "a graph that leads out": set_graph("image", file="../image.onnx"),
    "graphs changed over": set_graph("image", file="text.onnx"),
    "an input of no kind": set_graph("image", inputs=["pixels", "shell"]),
    "without pixels": set_graph("image", inputs=["slot"]),
    "an output of no kind": set_graph("image", outputs=["cls", "logits"]),
    "without what the head reads": set_graph("image", outputs=["tokens"]),
    "without a projection": set_graph("text", outputs=["words"]),
    "more than is known": set_graph("image", run="x"),
    "a field that is not known": put(plugin="x"),
    "a field that is missing": lambda content: content.pop("slots"),
    "a graph that is not listed": lambda content: (
        content.update(fusion_modes=["frontal", "prior"]),
        content["graphs"]["image"]["outputs"].append("features"),
        content["graphs"].update(
            fuse={"file": "fuse.onnx", "inputs": ["features", "prior_features"], "outputs": ["projection"]}
        ),
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_part_is_refused(other, name, tmp_path):
    folder = shutil.copytree(other, tmp_path / "forged.alta")
    content = read_content(folder)
    FORGED[name](content)
    write_content(folder, content)
    with pytest.raises(IntegrityError, match=r"manifest\.json is damaged") as refused:
        Engine.open(folder, runtime="onnxruntime", threads=1)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("graph", "inputs"), [("image", ("pixels",)), ("text", ("input_ids",))])
def test_a_graph_that_reads_more_than_it_says_is_an_error_of_ours(other, graph, inputs, tmp_path):
    folder = shutil.copytree(other, tmp_path / "less.alta")
    graphs = open_bundle(folder).manifest.graphs
    reseal(folder, graphs={**graphs, graph: replace(graphs[graph], inputs=inputs)})
    with pytest.raises(EngineError):  # a text graph is asked when a prompt is that the engine does not keep
        Engine.open(folder, runtime="onnxruntime", threads=1).project_prompts(["a phrase that is in no label set"])


def test_an_image_without_a_slot_is_encoded_once_for_all_slots():
    class Counting:
        runs = 0

        def run(self, inputs):
            assert set(inputs) == {"pixels"}
            Counting.runs += len(inputs["pixels"])
            return {"projection": inputs["pixels"].reshape(len(inputs["pixels"]), -1)[:, :4].astype(np.float32)}

    graph = BundleGraph("image.onnx", ("pixels",), ("projection", "patches"))
    encoder = ImageEncoder(Counting(), graph=graph)
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    as_current, as_prior = encoder.encode([(pixels, Slot.FRONTAL)]), encoder.encode([(pixels, Slot.PRIOR_FRONTAL)])
    np.testing.assert_array_equal(as_current, as_prior)
    assert Counting.runs == 1


def test_a_heat_map_on_an_empty_slot_is_told_as_before(matcher, radiograph_path):
    with pytest.raises(ViewError, match="fusion mode frontal reads frontal"):
        matcher.locate(radiograph_path, "edema", slot=Slot.PRIOR_FRONTAL)
