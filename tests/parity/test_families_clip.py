"""CheXzero and BiomedCLIP agree with the published code: read from ALTA_SEEDS_DIR, nothing about it known here."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from parity.goldens import read_arrays, read_facts
from tokenizers import Tokenizer
from tolerances import FAMILY_VECTORS
from torch.nn import functional as F

from alta_training.families.checkpoint import read_checkpoint
from alta_training.families.open_clip_folder import find_open_clip_weights
from alta_training.families.registry import recognise


@pytest.fixture(scope="module")
def folder(seeds_dir):
    return seeds_dir / "clip"


@pytest.fixture(scope="module")
def golden(folder):
    return read_arrays(folder)


@pytest.fixture(scope="module")
def facts(folder):
    return read_facts(folder)


@pytest.fixture(scope="module")
def chexzero(folder, facts, draw_weights, tmp_path_factory):
    """CheXzero from a file of its published kind; a narrow text tower's heads are stated, which no tensor tells."""
    path = tmp_path_factory.mktemp("chexzero") / "checkpoint.pt"
    torch.save(draw_weights(facts, "chexzero_shapes"), path)
    checkpoint = replace(
        read_checkpoint(path), metadata={"text_heads": str(facts["chexzero_sizes"]["transformer_heads"])}
    )
    return recognise(checkpoint.weights).read(checkpoint, folder, None, None)


@pytest.fixture(scope="module")
def biomedclip(folder, facts, draw_weights, tmp_path_factory):
    """BiomedCLIP from its published folder; the heads of a narrow image tower are given, which no tensor tells."""
    published = next(path.parent for path in folder.glob("*/open_clip_config.json"))
    copied = shutil.copytree(published, tmp_path_factory.mktemp("open_clip") / published.name)
    torch.save(draw_weights(facts, "biomedclip_shapes"), copied / "open_clip_pytorch_model.bin")
    checkpoint = read_checkpoint(find_open_clip_weights(copied))
    heads = facts["biomedclip_heads"]
    checkpoint = replace(checkpoint, metadata={"text_heads": str(heads["text"])})
    return recognise(checkpoint.weights).read(checkpoint, copied, None, heads["image"])


def as_pixels(grey_u8):
    return torch.from_numpy(grey_u8)[:, None]


def assert_vectors(given, expected):
    np.testing.assert_allclose(given, expected, rtol=0, atol=FAMILY_VECTORS * max(1, np.abs(expected).max()))


def assert_projected(golden, prefix, projection):
    assert_vectors(projection, golden[f"{prefix}_projection"])
    assert_vectors(F.normalize(projection, dim=-1), golden[f"{prefix}_embedding"])


def list_texts(facts):
    return facts["prompts"] + [template.format(label) for template in facts["pair"] for label in facts["labels"]]


def project_texts(towers, ids):
    ids = torch.from_numpy(np.asarray(ids, dtype=np.int64))
    with torch.no_grad():
        return towers.text(ids, (ids != 0).long())


def test_both_are_recognised_and_say_what_pixels_they_read(chexzero, biomedclip, golden):
    for towers, name, rule in ((chexzero, "chexzero", "pad-square"), (biomedclip, "open-clip", "shorter-side")):
        assert (towers.family, towers.geometry.rule) == (name, rule)
    assert chexzero.geometry.crop_px == golden["chexzero_pixels_u8"].shape[-1]
    assert biomedclip.geometry.crop_px == golden["biomedclip_pixels_u8"].shape[-1]


def test_chexzero_sizes_are_read_from_the_tensors(chexzero, facts):
    published = facts["chexzero_sizes"]
    names = {
        "embedding": "embed_dim",
        "image_depth": "vision_layers",
        "image_width": "vision_width",
        "patch_px": "vision_patch_size",
        "max_tokens": "context_length",
        "vocabulary": "vocab_size",
        "text_width": "transformer_width",
        "text_depth": "transformer_layers",
    }
    assert {own: chexzero.sizes[own] for own in names} == {own: published[name] for own, name in names.items()}


def test_chexzero_model_input(chexzero, golden):
    expected = golden["chexzero_model_input"]
    scaled = chexzero.image.scaling(as_pixels(golden["chexzero_pixels_u8"][: len(expected)]))
    assert torch.equal(scaled[:, :1].expand_as(scaled), scaled)
    np.testing.assert_allclose(scaled[:, :1], expected, rtol=0, atol=FAMILY_VECTORS)


def test_chexzero_radiographs(chexzero, golden):
    with torch.no_grad():
        assert_projected(golden, "chexzero_image", chexzero.image(as_pixels(golden["chexzero_pixels_u8"])))


def test_chexzero_token_ids(chexzero, golden, facts):
    tokenizer = Tokenizer.from_str(chexzero.tokenizer_json)
    ids = [item.ids for item in tokenizer.encode_batch(list_texts(facts))]
    np.testing.assert_array_equal(ids, golden["chexzero_input_ids"])


def test_chexzero_texts(chexzero, golden):
    assert_projected(golden, "chexzero_text", project_texts(chexzero, golden["chexzero_input_ids"]))


def test_chexzero_scores(chexzero, golden, facts):
    """The published score: each text to unit length, their mean to unit length, no temperature."""
    assert (chexzero.prompt_average, chexzero.logit_scale) == ("after-normalisation", 1.0)
    tokenizer = Tokenizer.from_str(chexzero.tokenizer_json)
    with torch.no_grad():
        images = F.normalize(chexzero.image(as_pixels(golden["chexzero_pixels_u8"])), dim=-1)
    sides = []
    for template in facts["pair"]:
        ids = [tokenizer.encode(template.format(label)).ids for label in facts["labels"]]
        sides.append((images @ F.normalize(project_texts(chexzero, ids), dim=-1).T).exp())
    assert_vectors(sides[0] / (sides[0] + sides[1]), golden["chexzero_scores"])


def test_biomedclip_radiographs(biomedclip, golden):
    with torch.no_grad():
        assert_projected(golden, "biomedclip_image", biomedclip.image(as_pixels(golden["biomedclip_pixels_u8"])))


def test_biomedclip_token_ids(biomedclip, golden, facts):
    tokenizer = Tokenizer.from_str(biomedclip.tokenizer_json)
    tokenizer.enable_padding(length=biomedclip.sizes["max_tokens"])
    ids = [item.ids for item in tokenizer.encode_batch(facts["biomedclip_prompts"])]
    np.testing.assert_array_equal(ids, golden["biomedclip_input_ids"])


def test_biomedclip_texts(biomedclip, golden):
    ids = golden["biomedclip_input_ids"]
    assert_projected(golden, "biomedclip_text", project_texts(biomedclip, ids))
    longest = int((ids != 0).sum(axis=1).max())
    np.testing.assert_allclose(  # padding never counts
        project_texts(biomedclip, ids[:, :longest]), project_texts(biomedclip, ids), rtol=0, atol=FAMILY_VECTORS
    )


def test_biomedclip_temperature(biomedclip, facts, draw_weights):
    assert biomedclip.logit_scale == pytest.approx(float(draw_weights(facts, "biomedclip_shapes")["logit_scale"].exp()))
