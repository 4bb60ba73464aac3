"""The towers agree with the published code."""

import numpy as np
import pytest
import torch
from tolerances import PARITY

from alta_training.model.names import published_name


@pytest.fixture(scope="module")
def slots(published, pixels, golden):
    rows = torch.from_numpy(golden["slot_rows"])
    with torch.no_grad():
        cls, patches = published.image.encode_studies(pixels[rows.clamp(min=0)], rows < 0)
        embedding = published.embed_studies(pixels[rows.clamp(min=0)], rows < 0)
        local = published.image.local_projection_head(patches).flatten(1, 2)
    return cls, embedding, local


@pytest.fixture(scope="module")
def text(published, golden):
    ids, mask = (torch.from_numpy(golden[name]) for name in ("input_ids", "attention_mask"))
    with torch.no_grad():
        return published.text.embed(ids, mask), published.text.project(published.text(ids, mask))[1]


def test_sizes_are_read_from_the_tensors(published, facts):
    image = published.sizes.image
    assert (image.width, image.depth, image.heads) == (facts["embed_dim"], facts["depth"], facts["heads"])


def test_parameter_names_are_the_published_ones(published, facts):
    names = {published_name(name) for name, _ in published.named_parameters()}
    assert names == {*facts["trainable"], *facts["frozen"]}


def test_frontal_embedding(published, pixels, golden):
    with torch.no_grad():
        np.testing.assert_allclose(published.embed_radiographs(pixels), golden["frontal_embedding"], **PARITY)


def test_text_embedding(text, golden):
    np.testing.assert_allclose(text[0], golden["text_embedding"], **PARITY)


def test_word_projections(text, golden):
    np.testing.assert_allclose(text[1], golden["word_local"], **PARITY)


def test_cls_of_every_slot_missing_ones_included(slots, golden):
    np.testing.assert_allclose(slots[0], golden["slot_cls"], **PARITY)


def test_four_slot_study_embedding(slots, golden):
    np.testing.assert_allclose(slots[1], golden["study_embedding"], **PARITY)


def test_patch_projections(slots, golden):
    np.testing.assert_allclose(slots[2], golden["patch_local"], **PARITY)
