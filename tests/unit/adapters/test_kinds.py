"""Kinds of adapters: named in a checkpoint, asked which names train, merged through one method."""

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F

from alta_export.affine import Affine
from alta_sdk import CheckpointError
from alta_training.adapters import ADAPTERS, Adapter, AdapterTerms
from alta_training.families.backbone import load_backbone
from alta_training.families.checkpoint import Checkpoint, load_model, read_checkpoint, read_text_model
from alta_training.model.trainable import freeze_backbones


@pytest.fixture
def text_model(checkpoint_folder):
    return read_text_model(checkpoint_folder / "text-model")


def test_a_checkpoint_names_the_kind_of_its_adapters(checkpoint_folder):
    with safe_open(checkpoint_folder / "model.safetensors", framework="pt") as file:
        assert file.metadata()["adapter"] == "bottleneck"


def test_a_checkpoint_that_does_not_say_has_the_published_kind(checkpoint_folder, text_model):
    weights = read_checkpoint(checkpoint_folder / "model.safetensors").weights
    assert load_model(Checkpoint(weights), text_model).sizes.image.adapter == "bottleneck"


def test_a_kind_that_is_not_known_is_refused_with_those_that_are(checkpoint_folder, text_model):
    weights = read_checkpoint(checkpoint_folder / "model.safetensors").weights
    with pytest.raises(CheckpointError, match="adapters of a kind that is not known; known: bottleneck"):
        load_model(Checkpoint(weights, {"adapter": "prefix"}), text_model)


def test_a_backbone_of_an_unknown_kind_is_refused(checkpoint_folder, text_model, monkeypatch):
    file = checkpoint_folder / "model.safetensors"
    stated = Checkpoint(read_checkpoint(file).weights, {"adapter": "prefix"})
    monkeypatch.setattr("alta_training.families.backbone.read_checkpoint", lambda path: stated)
    with pytest.raises(CheckpointError, match="known: bottleneck"):
        load_backbone(file, checkpoint_folder / "text-model", text_model.config)


@pytest.mark.parametrize("kind", ADAPTERS.values(), ids=ADAPTERS)
def test_merged_terms_are_what_the_adapter_adds(kind):
    torch.manual_seed(2)
    adapter = kind(12, 5)
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(4, 12)
    terms = adapter.merged()
    down, up = Affine.of(terms.down), Affine.of(terms.up)
    torch.testing.assert_close(up(F.gelu(down(x.double()))).float(), adapter(x))


@pytest.mark.parametrize("kind", ADAPTERS.values(), ids=ADAPTERS)
def test_an_adapter_adds_nothing_as_it_starts_and_something_from_its_first_step_on(kind):
    adapter = kind(12, 5)
    assert adapter.merged().adds_nothing
    adapter(torch.randn(4, 12)).sum().backward()
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter -= 1e-30 * parameter.grad
    assert not adapter.merged().adds_nothing


def test_a_bias_alone_and_what_is_no_number_add_something():
    up = torch.nn.Linear(5, 12)
    for value in (1e-30, float("nan")):
        torch.nn.init.zeros_(up.weight)
        torch.nn.init.zeros_(up.bias)
        assert AdapterTerms(torch.nn.Linear(12, 5), up).adds_nothing
        with torch.no_grad():
            up.bias[3] = value
        assert not AdapterTerms(torch.nn.Linear(12, 5), up).adds_nothing


@pytest.mark.parametrize("kind", ADAPTERS.values(), ids=ADAPTERS)
def test_a_kind_says_which_tensor_tells_its_hidden_units(kind):
    assert kind(12, 5).state_dict()[kind.hidden_in].shape[0] == 5


def test_the_kind_is_asked_which_names_train(model, monkeypatch):
    class Shy(Adapter):
        trained_parts = ("mlp_adapter",)

    monkeypatch.setitem(ADAPTERS, "bottleneck", Shy)
    try:
        freeze_backbones(model)
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    finally:
        model.requires_grad_(True)
    assert any("mlp_adapter" in name for name in trained)
    assert not any("attn_adapter" in name for name in trained)
