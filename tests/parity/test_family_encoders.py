"""Checkpoints of other families, measured: files to embeddings and scores of the published code (ALTA_SEEDS_DIR)."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from tolerances import FAMILY_VECTORS

from alta_sdk.engine.vectors import to_unit_length
from alta_training.data.labelled import LabelledRadiograph
from alta_training.evaluation.calibration import score_probability
from alta_training.evaluation.encoders import embed_label, open_encoder
from alta_training.families.clip_merges import NAME


@pytest.fixture(scope="module")
def biovil(read_golden):
    return read_golden("biovil")


@pytest.fixture(scope="module")
def clip(read_golden):
    return read_golden("clip")


@pytest.fixture(scope="module")
def chexzero(clip, tmp_path_factory):
    """From a file alone; the merges file is given, and the heads of a narrow text tower, which no tensor tells."""
    path = clip.save_weights("chexzero_shapes", tmp_path_factory.mktemp("chexzero") / "best.pt")
    heads = clip.facts["chexzero_sizes"]["transformer_heads"]
    return open_encoder(path, tokenizer=clip.folder / NAME, text_heads=heads)


@pytest.fixture(scope="module")
def biomedclip(clip, tmp_path_factory):
    """From the published folder; the heads of narrow towers are given, which no tensor tells."""
    published = next(path.parent for path in clip.folder.glob("*/open_clip_config.json"))
    folder = shutil.copytree(published, tmp_path_factory.mktemp("open_clip") / published.name)
    clip.save_weights("biomedclip_shapes", folder / "open_clip_pytorch_model.bin")
    heads = clip.facts["biomedclip_heads"]
    return open_encoder(folder, image_heads=heads["image"], text_heads=heads["text"])


def assert_radiographs(encoder, golden, key):
    expected = golden.arrays[key]
    assert 0 < len(expected) <= len(golden.paths)
    given = encoder.embed_radiographs(golden.paths[: len(expected)])
    np.testing.assert_allclose(given, expected, rtol=0, atol=FAMILY_VECTORS)


def assert_texts(given, expected):
    np.testing.assert_allclose(given, expected, rtol=0, atol=FAMILY_VECTORS * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(("pattern", "key"), [("biovil_t_*.pt", "alone"), ("biovil_image_*.pt", "biovil")])
def test_biovil_and_biovil_t(biovil, pattern, key):
    text_model = next(path.parent for path in biovil.folder.glob("*/config.json"))
    encoder = open_encoder(next(biovil.folder.glob(pattern)), text_model)
    assert_radiographs(encoder, biovil, f"{key}_embedding")
    assert_texts(encoder.project_texts(biovil.facts["prompts"]), biovil.arrays["text_projection"])
    for meaning in ("positive", "negative"):
        assert_texts(embed_label(encoder, biovil.facts[meaning]), biovil.arrays[f"{meaning}_text"])
    assert encoder.logit_scale == 1.0


def test_chexzero(chexzero, clip):
    assert_radiographs(chexzero, clip, "chexzero_image_embedding")
    prompts = clip.facts["prompts"]
    assert_texts(chexzero.project_texts(prompts), clip.arrays["chexzero_text_projection"][: len(prompts)])


def test_the_published_scores_of_chexzero(chexzero, clip, monkeypatch):
    expected = clip.arrays["chexzero_scores"]
    asking = replace(chexzero.asking, prompt_pair=tuple(clip.facts["pair"]))
    monkeypatch.setattr(chexzero, "asking", asking)
    radiographs = [LabelledRadiograph(path, "1", "", True) for path in clip.paths[: len(expected)]]
    for column, label in enumerate(clip.facts["labels"]):
        given = score_probability(chexzero, radiographs, label)
        np.testing.assert_allclose(given, expected[:, column], rtol=0, atol=FAMILY_VECTORS)


def test_biomedclip(biomedclip, clip):
    assert_radiographs(biomedclip, clip, "biomedclip_image_embedding")
    projected = biomedclip.project_texts(clip.facts["biomedclip_prompts"])
    assert_texts(projected, clip.arrays["biomedclip_text_projection"])
    assert_texts(to_unit_length(projected), clip.arrays["biomedclip_text_embedding"])
    assert biomedclip.prompt_average == "after-normalisation"
