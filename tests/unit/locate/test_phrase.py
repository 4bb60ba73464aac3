"""Locating: planted patches light up on the radiograph's own pixels, and similarity is what training learns."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import export_quietly, make_sizes
from tolerances import FLOAT32

from alta_export.options import ExportOptions
from alta_sdk import Engine, EngineError, IntegrityError, Matcher, PromptError, Slot, Study, StudyError, ViewError
from alta_sdk.engine.manifest import LOCAL_HEADS, parse_manifest
from alta_sdk.engine.preprocessing import describe_geometry
from alta_sdk.locate.phrase import match_words
from alta_sdk.study.geometry import PAD_SQUARE, Geometry
from alta_training.data.synthetic import make_random_model, write_text_model
from alta_training.families.checkpoint import save_checkpoint
from alta_training.losses import local_contrastive

SHAPES = {
    "portrait": (500, 300),
    "landscape": (300, 500),
    "square": (256, 256),
    "tiny": (40, 33),
    "odd": (517, 389),
    "wide": (64, 500),
    "large": (1300, 1111),
    "colour": (320, 280, 3),
}
# Where in what the model sees the patch is planted: (down, right), no two alike when rows and columns are swapped.
PLACES = [(0.15, 0.4), (0.8, 0.3), (0.5, 0.9)]


def plant_brightness(model):
    """Give a model weights by which a patch matches every word the better, the brighter it is."""
    with torch.no_grad():
        tower, head = model.image, model.image.local_projection_head
        for block in tower.blocks:  # tokens pass unchanged
            for layer in (block.attn.proj, block.attn_adapter.D_fc2, block.mlp.fc2, block.mlp_adapter.D_fc2):
                layer.weight.zero_(), layer.bias.zero_()
        for parameter in (tower.pos_embed, tower.view_embedding, tower.temporal_embedding):
            parameter.zero_()
        kernel, bias = tower.patch_embed.proj.weight, tower.patch_embed.proj.bias
        kernel.zero_(), bias.zero_()
        kernel[0] = 1 / kernel[0].numel()
        kernel[1] = -kernel[0]
        bias[2], bias[3] = 1, -1  # so that the norm leaves brightness graded
        tower.norm.weight.fill_(1), tower.norm.bias.zero_()
        for layer in (head.dense_to_hidden, head.dense_to_output, model.text.local_projection_head.dense_to_output):
            layer.weight.zero_(), layer.bias.zero_()
        head.LayerNorm.weight.fill_(1), head.LayerNorm.bias.zero_()
        head.dense_to_hidden.weight[:2, :2] = torch.eye(2)  # bright, dark
        head.dense_to_output.weight[:2, :2] = torch.eye(2)
        model.text.local_projection_head.dense_to_output.bias[0] = 1
    return model


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    model = plant_brightness(make_random_model(make_sizes(depth=1, text_depth=1), seed=8))
    write_text_model(folder / "text-model", model.sizes.text.config)
    save_checkpoint(model, folder / "model.safetensors", {})
    options = ExportOptions(folder / "model.safetensors", folder / "text-model", folder / "planted.alta")
    return Matcher(export_quietly(options).path)


def plant_square(shape, place):
    """Return a dark radiograph with a bright square five patches wide, and the square's mask."""
    height, width = shape[:2]
    shorter = min(height, width)
    seen, half = shorter * 224 / 256, 2.5 * shorter / 16
    middle = [length / 2 + (part - 0.5) * seen for length, part in zip((height, width), place, strict=True)]
    mask = np.zeros((height, width), dtype=bool)
    rows, columns = (slice(round(max(m - half, 0)), round(m + half)) for m in middle)
    mask[rows, columns] = True
    image = np.full(shape, 30, dtype=np.uint8)
    image[mask] = 250
    return image, mask


def grow(mask, pixels):
    """Return a mask grown by some pixels on each side."""
    grown = mask.copy()
    for axis in (0, 1):
        for shift in range(-pixels, pixels + 1):
            grown |= np.roll(mask, shift, axis)
        mask = grown.copy()
    return grown


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_planted_patch_lights_up_where_it_lies(planted, shape, place):
    image, mask = plant_square(shape, place)
    heatmap = planted.locate(Study.from_images(frontal=image, any_picture=True), "bright")
    assert heatmap.values.shape == shape[:2]
    assert mask[heatmap.peak], "the peak lies on the planted square"
    assert heatmap.values[heatmap.peak] == heatmap.patches.max() == heatmap.limits[1]
    assert heatmap.limits[1] - heatmap.limits[0] > 0.5
    lit = heatmap.values > np.mean(heatmap.limits)
    patch = -(-min(shape[:2]) // 16)
    assert not (lit & ~grow(mask, patch)).any(), "nothing is lit that is further off than one patch"
    unseen = np.isnan(heatmap.values)
    inside = ~grow(~mask, patch)
    assert inside.any() and (lit | unseen)[inside].all(), "all of the square is lit but a patch along its edge"


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_the_model_did_not_see_is_not_a_number(planted, shape):
    study = Study.from_images(frontal=np.full(shape, 99, np.uint8), any_picture=True)
    values = planted.locate(study, "bright").values
    expected = min(shape[:2]) * 224 / 256
    for axis in (0, 1):
        seen = np.flatnonzero(np.isfinite(values).any(axis=axis))
        assert abs(len(seen) - expected) <= 1 + expected / 256, "the longer side is resized to a whole number"
        beyond = values.shape[1 - axis] - 1 - seen[-1]
        assert abs(seen[0] - beyond) <= 1 + min(shape[:2]) / 256, "in the middle, but for one pixel of the resized"
        assert np.isfinite(values[np.ix_(*(np.flatnonzero(np.isfinite(values).any(axis=a)) for a in (1, 0)))]).all()


@pytest.mark.parametrize("shape", [(120, 300), (300, 120, 3)], ids=["landscape", "portrait"])
def test_a_padded_square_is_drawn_on_all_of_the_radiograph_and_its_border_is_never_the_peak(planted, tmp_path, shape):
    folder = shutil.copytree(planted.engine.bundle.folder, tmp_path / "padded.alta")
    padded = Geometry(PAD_SQUARE, 224, 224, "lanczos", grey_first=False)
    manifest = planted.engine.manifest
    changed = replace(manifest, preprocessing={**manifest.preprocessing, **describe_geometry(padded)})
    (folder / "manifest.json").write_bytes(changed.render())
    image = np.full(shape, 200, dtype=np.uint8)
    image[60:90, 60:90] = 140
    with Matcher(folder) as matcher:
        heatmap = matcher.locate(Study.from_images(frontal=image, any_picture=True), "bright")
    assert np.isfinite(heatmap.values).all()
    assert heatmap.values[75, 75] < np.mean(heatmap.limits) < heatmap.values[100, 100]
    assert heatmap.limits == (heatmap.values.min(), heatmap.values.max()), "the border's patches are not asked"
    assert heatmap.values[heatmap.peak] == heatmap.limits[1] == heatmap.as_dict()["peak"]["cosine"]
    assert heatmap.patches.min() < heatmap.limits[0], "the border matches less than anything on the radiograph"


def test_similarity_is_the_one_that_training_learns():
    rng = np.random.default_rng(6)
    patches, words = (rng.normal(size=(count, 128)).astype(np.float32) for count in (49, 7))
    match = match_words(patches, words, 14.3)
    ours = np.log(np.exp(9.1 * match.cosines).sum())
    given = [torch.from_numpy(array)[None] for array in (patches, words)]
    theirs = local_contrastive.match_words(
        *given, torch.ones(1, 7, dtype=torch.bool), torch.tensor(14.3), torch.tensor(9.1)
    )
    np.testing.assert_allclose(ours, theirs.item(), **FLOAT32)
    assert match.similarity.shape == (49,)
    assert match.score == pytest.approx(match.cosines[:6].mean())


def test_similarity_is_the_mean_cosine_of_the_words_without_the_end_of_the_phrase():
    rng = np.random.default_rng(7)
    patches, words = (rng.normal(size=(count, 128)).astype(np.float32) for count in (9, 3))
    lengths = np.linalg.norm(patches, axis=1)[:, None] * np.linalg.norm(words, axis=1)
    cosines = patches @ words.T / lengths
    np.testing.assert_allclose(match_words(patches, words, 10.0).similarity, cosines[:, :2].mean(axis=1), **FLOAT32)


def test_patches_are_those_of_the_training_model(matcher, model):
    from alta_training.model.alta import to_model_input

    pixels = np.random.default_rng(1).integers(0, 256, (2, 1, 224, 224), dtype=np.uint8)
    slot = np.array([0, 2])
    with torch.no_grad():
        tokens = model.image(to_model_input(torch.from_numpy(pixels[:, 0])), torch.from_numpy(slot))
        expected = model.image.local_projection_head(tokens[:, 1:]).numpy()
    np.testing.assert_allclose(matcher.engine.patches.encode(pixels, slot), expected, **FLOAT32)


def test_words_are_the_same_alone_and_padded(matcher, model):
    ids = torch.tensor(matcher.engine._texts.tokenizer.encode(["small effusion"]))
    with torch.no_grad():
        expected = model.text.project(model.text(ids, torch.ones_like(ids)))[1][0].numpy()
    np.testing.assert_allclose(matcher.engine.project_words("small effusion"), expected, **FLOAT32)


def test_scores_and_provenance(matcher, radiograph_path):
    heatmap = matcher.locate(radiograph_path, "edema")
    assert heatmap.score == pytest.approx(matcher.score(radiograph_path, ["edema"])[0])
    assert -1 <= heatmap.local_score <= 1
    told = heatmap.as_dict()
    assert told["provenance"]["engine_sha256"] == matcher.engine.manifest.sha256
    assert told["provenance"]["drawn_on"] == "frontal" and "Not for clinical use." in told["provenance"]["notices"]
    assert np.shape(told["patches"]) == heatmap.patches.shape
    assert "edema" not in str(told), "a phrase may be report text"


def test_another_slot_is_drawn_on_its_own_pixels(bundle):
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((300, 260), (280, 400))]
    study = Study.from_images(images[0], prior_frontal=images[1])
    heatmap = Matcher(bundle, fusion_mode="present").locate(study, "edema", slot=Slot.PRIOR_FRONTAL)
    assert heatmap.values.shape == (280, 400)
    with pytest.raises(ViewError, match="fusion mode frontal reads frontal"):
        Matcher(bundle).locate(study, "edema", slot=Slot.PRIOR_FRONTAL)


def test_what_cannot_be_located_is_refused(matcher, radiograph_path):
    with pytest.raises(StudyError, match="not its embedding"):
        matcher.locate(matcher.embed(radiograph_path), "edema")
    with pytest.raises(PromptError, match="one string"):
        matcher.locate(radiograph_path, ["edema"])
    with pytest.raises(PromptError, match="empty"):
        matcher.locate(radiograph_path, " ")


@pytest.fixture
def copy(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy.alta")


def test_an_engine_without_the_patch_graph_scores_and_says_to_export_again(copy, radiograph_path):
    manifest = parse_manifest((copy / "manifest.json").read_bytes())
    engine = {name: value for name, value in manifest.engine.items() if name != LOCAL_HEADS}
    files = tuple(file for file in manifest.files if file.name != "patches.onnx")
    (copy / "patches.onnx").unlink()
    (copy / "manifest.json").write_bytes(replace(manifest, engine=engine, files=files).render())
    matcher = Matcher(copy)
    matcher.zero_shot(radiograph_path, ["edema"])
    with pytest.raises(EngineError, match="export it again"):
        matcher.locate(radiograph_path, "edema")


def test_a_patch_graph_changed_after_the_engine_was_opened_is_refused(copy, radiograph_path):
    matcher = Matcher(copy)
    data = bytearray((copy / "patches.onnx").read_bytes())
    data[-1] ^= 1
    (copy / "patches.onnx").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"patches\.onnx was changed"):
        matcher.locate(radiograph_path, "edema")


def test_a_machine_that_computes_other_patches_draws_no_map(bundle, radiograph_path):
    engine = Engine.open(bundle)
    engine.manifest.engine[LOCAL_HEADS]["limits"] = {"min_cosine": 1.1, "max_abs": 1.0}
    with pytest.raises(EngineError, match="self-test failed on this machine: patches"):
        Matcher(engine).locate(radiograph_path, "edema")


def test_eight_threads_draw_the_maps_of_one(bundle):
    rng = np.random.default_rng(9)
    studies = [Study.from_images(rng.integers(0, 256, (256, 260), dtype=np.uint8)) for _ in range(8)]
    one = Matcher(bundle)
    expected = [one.locate(study, "edema").patches for study in studies]
    shared = Matcher(bundle)  # all at once: the patch graph is loaded by one of them
    with ThreadPoolExecutor(8) as pool:
        maps = list(pool.map(lambda study: shared.locate(study, "edema").patches, studies))
    np.testing.assert_array_equal(maps, expected)


def test_both_runtimes_draw_the_same_map(bundle, radiograph_path):
    maps = [Matcher(bundle, runtime=name).locate(radiograph_path, "edema") for name in ("openvino", "onnxruntime")]
    np.testing.assert_allclose(maps[0].patches, maps[1].patches, **FLOAT32)
