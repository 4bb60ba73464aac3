"""BioViL-T and BioViL agree with the published code: read from ALTA_SEEDS_DIR, nothing about it known here."""

import shutil

import numpy as np
import pytest
import torch
from parity.goldens import read_arrays, read_facts
from tolerances import FAMILY_PATCHES, FAMILY_VECTORS
from torch.nn import functional as F
from transformers import BertConfig

from alta_training.families import cxr_bert
from alta_training.families.biovil import read_biovil_image, read_biovil_t_image
from alta_training.families.biovil_image import published_name
from alta_training.families.checkpoint import read_checkpoint
from alta_training.families.cxr_bert import WholeCxrBert, read_cxr_bert
from alta_training.families.registry import recognise
from alta_training.model.heads import ProjectionHead

FORMS = ("pytorch_model.bin", "model.safetensors")


@pytest.fixture(scope="module")
def folder(seeds_dir):
    return seeds_dir / "biovil"


@pytest.fixture(scope="module")
def golden(folder):
    return read_arrays(folder)


@pytest.fixture(scope="module")
def facts(folder):
    return read_facts(folder)


@pytest.fixture(scope="module")
def text_folder(folder):
    return next(path.parent for path in folder.glob("*/config.json"))


@pytest.fixture(scope="module")
def read(folder, text_folder):
    def read_towers(pattern):
        checkpoint = read_checkpoint(next(folder.glob(pattern)))
        return recognise(checkpoint.weights).read(checkpoint, text_folder, None, None)

    return read_towers


@pytest.fixture(scope="module")
def temporal(read):
    return read("biovil_t_*.pt")


@pytest.fixture(scope="module")
def static(temporal, golden):
    with torch.no_grad():
        return temporal.image.static(as_pixels(golden["pixels_u8"]))


@pytest.fixture(scope="module")
def pairs(static, facts):
    current, prior = zip(*facts["pairs"], strict=True)
    return static[list(current)], static[list(prior)]


def as_pixels(grey_u8):
    return torch.from_numpy(grey_u8)[:, None]


def assert_vectors(given, expected):
    np.testing.assert_allclose(given, expected, rtol=0, atol=FAMILY_VECTORS * max(1, np.abs(expected).max()))


def assert_patches(given, expected):
    np.testing.assert_allclose(given, expected, rtol=0, atol=FAMILY_PATCHES * np.abs(expected).max())


def assert_projected(golden, prefix, projected):
    projection, patches = projected
    assert_vectors(projection, golden[f"{prefix}_projection"])
    assert_vectors(F.normalize(projection, dim=-1), golden[f"{prefix}_embedding"])
    assert_patches(patches, golden[f"{prefix}_patches"])


def encode(tokenizer_json, prompts):
    """Token ids and mask, padded to the longest, final punctuation stripped as published."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.enable_padding()
    encoded = [tokenizer.encode(prompt.rstrip("!?.")) for prompt in prompts]
    length = max(len(item.ids) for item in encoded)
    ids = [item.ids + [0] * (length - len(item.ids)) for item in encoded]
    mask = [[1] * len(item.ids) + [0] * (length - len(item.ids)) for item in encoded]
    return torch.tensor(ids), torch.tensor(mask)


def test_the_file_is_recognised_and_gives_the_published_preprocessing(temporal, golden):
    assert temporal.family == "biovil-t"
    assert temporal.geometry.crop_px == temporal.sizes["image_px"] == golden["pixels_u8"].shape[1]


def test_static_features(static, golden):
    assert_patches(static, golden["static_features"])


def test_difference_features(temporal, pairs, golden):
    with torch.no_grad():
        assert_patches(temporal.image.compare(*pairs), golden["difference_features"])


def test_radiographs_alone(temporal, static, golden):
    with torch.no_grad():
        assert_vectors(temporal.image.join(static, None).mean((2, 3)), golden["alone_pooled"])
        assert_projected(golden, "alone", temporal.image.project(static))


def test_radiographs_with_their_priors(temporal, pairs, golden):
    with torch.no_grad():
        assert_vectors(temporal.image.join(*pairs).mean((2, 3)), golden["paired_pooled"])
        assert_projected(golden, "paired", temporal.image.project(*pairs))


def test_pixels_of_current_and_prior_give_the_same(temporal, golden, facts):
    current, prior = facts["pairs"][0]
    pixels = as_pixels(golden["pixels_u8"])
    with torch.no_grad():
        projection = temporal.image(pixels[[current]], pixels[[prior]])
    assert_vectors(projection, golden["paired_projection"][:1])


def test_token_ids_of_prompts(temporal, golden, facts):
    ids, mask = encode(temporal.tokenizer_json, facts["prompts"])
    np.testing.assert_array_equal(ids, golden["input_ids"])
    np.testing.assert_array_equal(mask, golden["attention_mask"])


@pytest.mark.parametrize("form", FORMS)
def test_text_in_both_forms(text_folder, golden, tmp_path, form):
    alone = shutil.copytree(text_folder, tmp_path / "text")
    for other in FORMS:
        if other != form:
            (alone / other).unlink()
    text = read_cxr_bert(alone, golden["text_projection"].shape[1])
    assert text.file == form
    with torch.no_grad():
        projection = text.tower(torch.from_numpy(golden["input_ids"]), torch.from_numpy(golden["attention_mask"]))
    assert_vectors(projection, golden["text_projection"])
    assert_vectors(F.normalize(projection, dim=-1), golden["text_embedding"])


def test_prompts_of_one_meaning_and_their_scores(temporal, golden, facts):
    """The published decision: mean of the projections, then unit length, cosine; no temperature."""
    assert (temporal.prompt_average, temporal.logit_scale) == ("before-normalisation", 1.0)
    for meaning in ("positive", "negative"):
        with torch.no_grad():
            projections = temporal.text(*encode(temporal.tokenizer_json, facts[meaning]))
        vector = F.normalize(projections.mean(0), dim=0).numpy()
        assert_vectors(vector, golden[f"{meaning}_text"])
        for rows in ("alone", "paired"):
            assert_vectors(golden[f"{rows}_embedding"] @ vector, golden[f"{rows}_{meaning}_score"])


def test_biovil(read, golden):
    towers = read("biovil_image_*.pt")
    pixels = as_pixels(golden["pixels_480_u8"])
    assert (towers.family, towers.geometry.crop_px) == ("biovil", pixels.shape[-1])
    with torch.no_grad():
        assert_projected(golden, "biovil", towers.image.project(towers.image.static(pixels)))


def test_the_published_size_by_rule(text_folder, golden, facts, tmp_path, draw_weights):
    torch.save(draw_weights(facts, "full_shapes"), tmp_path / "published.pt")
    checkpoint = read_checkpoint(tmp_path / "published.pt")
    image = recognise(checkpoint.weights).read(checkpoint, text_folder, None, None).image
    del checkpoint
    with torch.no_grad():
        features = image.static(as_pixels(golden["pixels_u8"])[facts["full_pair"]])
        assert_projected(golden, "full_alone", image.project(features))
        assert_projected(golden, "full_paired", image.project(features[:1], features[1:]))


@pytest.mark.parametrize("kind", ["biovil", "biovil_t"])
def test_the_published_names_and_shapes_are_exactly_those_that_are_read(facts, kind):
    shapes = facts["full_shapes" if kind == "biovil_t" else "biovil_full_shapes"]
    weights = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items() if ".fc." not in name}
    tower = {"biovil": read_biovil_image, "biovil_t": read_biovil_t_image}[kind](weights)
    assert {published_name(name) for name in tower.state_dict()} == set(weights)


def test_the_published_text_models_names_and_shapes_are_those_that_are_read(facts):
    shapes = facts["text_full_shapes"]
    words, width = shapes["bert.embeddings.word_embeddings.weight"]
    with torch.device("meta"):
        whole = WholeCxrBert(
            BertConfig(vocab_size=words), ProjectionHead(width, shapes["cls_projection_head.dense_to_output.weight"][0])
        )
    own = {cxr_bert.published_name(name): list(tensor.shape) for name, tensor in whole.state_dict().items()}
    assert own == {name: shape for name, shape in shapes.items() if name not in cxr_bert.IGNORED}
