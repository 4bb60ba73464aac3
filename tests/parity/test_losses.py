"""The four losses and the trained set agree with the published code."""

import numpy as np
import pytest
import torch
from tolerances import PARITY

from alta_training.losses import (
    contrast_globally,
    contrast_locally,
    measure_reconstruction,
    measure_report_modelling,
)
from alta_training.model.names import published_name
from alta_training.model.trainable import freeze_backbones


@pytest.fixture(scope="module")
def studies(pixels, golden):
    rows = torch.from_numpy(golden["slot_rows"])
    return pixels[rows.clamp(min=0)], rows < 0


@pytest.fixture(scope="module")
def masked_pass(published, studies):
    """The first quarter of the patches kept in every slot."""
    patches = published.sizes.image.patches
    kept = patches // 4
    keep = torch.arange(kept).expand(*studies[1].shape, kept)
    with torch.no_grad():
        return *published.image.encode_studies(*studies, keep), kept, patches


def test_global_contrastive_loss(golden, published):
    studies, reports = torch.from_numpy(golden["study_embedding"]), torch.from_numpy(golden["text_embedding"])
    with torch.no_grad():
        loss = contrast_globally(studies, reports[: len(studies)], published.logit_scale.exp())
    np.testing.assert_allclose(loss, golden["global_contrastive_loss"], **PARITY)


@pytest.mark.parametrize("max_elements", [2**25, 1])
def test_local_contrastive_loss_in_one_chunk_and_in_many(golden, published, monkeypatch, max_elements):
    monkeypatch.setattr("alta_training.losses.tiles.CPU_ELEMENTS", max_elements)
    patches = torch.from_numpy(golden["patch_local"])
    words = torch.from_numpy(golden["word_local"])[: len(patches)]
    mask = torch.from_numpy(golden["attention_mask"])[: len(patches), 1:].bool()
    with torch.no_grad():
        scales = tuple(getattr(published, f"logit_scale_local{number}").exp() for number in (1, 2, 3))
        loss = contrast_locally(patches, words, mask, scales)
    np.testing.assert_allclose(loss, golden["local_contrastive_loss"], **PARITY)


@pytest.mark.parametrize("channels", [1, 3])
def test_reconstruction_loss(published, studies, masked_pass, golden, channels):
    cls, tokens, kept, patches = masked_pass
    with torch.no_grad():
        visible = torch.cat([cls[:, :1], tokens[:, 0]], dim=1)
        predicted = published.decoder(visible, torch.arange(patches).expand(len(cls), patches))
    target = torch.nn.functional.interpolate(studies[0][:, 0], scale_factor=2, mode="bilinear")
    hidden = (torch.arange(patches) >= kept).expand(len(cls), patches)
    loss = measure_reconstruction(predicted, target[:, :channels], hidden)
    np.testing.assert_allclose(loss, golden["reconstruction_loss_mask75"], **PARITY)


def test_masked_report_modelling_loss(published, masked_pass, golden):
    inputs, labels = (torch.from_numpy(golden[name]).long() for name in ("mlm_inputs", "mlm_labels"))
    mask = torch.from_numpy(golden["attention_mask"])[: len(inputs)]
    with torch.no_grad():
        feature = published.bert_embed(masked_pass[0].mean(dim=1))
        logits = published.text.predict_words(published.text(inputs, mask, feature))
    np.testing.assert_allclose(measure_report_modelling(logits, labels), golden["masked_lm_loss"], **PARITY)


def test_the_trained_and_the_frozen_parameters_are_the_published_ones(published, facts):
    try:
        freeze_backbones(published)
        by_training = {True: set(), False: set()}
        for name, parameter in published.named_parameters():
            by_training[parameter.requires_grad].add(published_name(name))
    finally:
        published.requires_grad_(True)
    assert by_training[True] == set(facts["trainable"])
    assert by_training[False] == set(facts["frozen"])
