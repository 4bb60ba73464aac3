"""Which family a checkpoint is of, and ALTA behind the interface of all."""

import numpy as np
import pytest
import torch
from fakes.biovil import make_image_weights

from alta_sdk import CheckpointError
from alta_training.families.checkpoint import load_model, read_checkpoint, read_text_model
from alta_training.families.registry import FAMILIES, recognise
from alta_training.model.alta import to_model_input
from alta_training.model.names import published_name


@pytest.fixture(scope="module")
def alta_names(model):
    return [published_name(name) for name in model.state_dict()]


def test_each_is_recognised_and_by_no_other(alta_names):
    for name, weights in (("alta", alta_names), *((kind, make_image_weights(kind)) for kind in ("biovil-t", "biovil"))):
        assert recognise(weights).name == name


def test_families_have_names_of_their_own():
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert all(family.licence and family.intended_use and family.looks_for for family in FAMILIES)


@pytest.mark.parametrize("weights", [[], ["model.weight"], ["visual.other", "text.other"]])
def test_an_unknown_family_is_refused_with_what_was_looked_for(weights):
    with pytest.raises(CheckpointError) as caught:
        recognise(weights)
    assert all(name in str(caught.value) for family in FAMILIES for name in family.looks_for)
    assert "\n" not in str(caught.value)


def test_two_families_in_one_file_are_refused(alta_names):
    with pytest.raises(CheckpointError, match=r"several families at once: alta \(.*; biovil-t \(") as caught:
        recognise([*alta_names, *make_image_weights()])
    assert "biovil (" not in str(caught.value)


def test_a_lone_image_tower_is_refused_as_an_alta_checkpoint_as_ever(checkpoint_folder):
    checkpoint = read_checkpoint(checkpoint_folder / "model.safetensors")
    for name in [name for name in checkpoint.weights if name.startswith("bert_encoder.")]:
        del checkpoint.weights[name]
    with pytest.raises(CheckpointError, match="not an ALTA checkpoint, or not a whole one: missing bert_encoder"):
        recognise(checkpoint.weights).read(checkpoint, checkpoint_folder / "text-model", None, None)


@pytest.fixture(scope="module")
def alta(checkpoint_folder):
    checkpoint = read_checkpoint(checkpoint_folder / "model.safetensors")
    return recognise(checkpoint.weights).read(checkpoint, checkpoint_folder / "text-model", None, None)


def test_alta_is_read_as_it_was(checkpoint_folder, alta):
    folder = checkpoint_folder / "text-model"
    model = load_model(read_checkpoint(checkpoint_folder / "model.safetensors"), read_text_model(folder))
    grey = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 1, 224, 224), dtype=np.uint8))
    ids = torch.tensor([[2, 7, 9, 3, 0]])
    with torch.no_grad():
        assert torch.equal(torch.nn.functional.normalize(alta.image(grey), dim=-1),
                           model.embed_radiographs(to_model_input(grey[:, 0])))  # fmt: skip
        assert torch.equal(torch.nn.functional.normalize(alta.text(ids, ids.sign()), dim=-1),
                           model.text.embed(ids, ids.sign()))  # fmt: skip
    assert alta.sizes == model.sizes.describe()
    assert alta.logit_scale == pytest.approx(model.logit_scale.exp().item())


def test_alta_takes_no_tokenizer_and_needs_a_text_model(checkpoint_folder, tmp_path):
    checkpoint = read_checkpoint(checkpoint_folder / "model.safetensors")
    family = recognise(checkpoint.weights)
    with pytest.raises(CheckpointError, match="--tokenizer"):
        family.read(checkpoint, checkpoint_folder / "text-model", tmp_path / "merges.txt", None)
    with pytest.raises(CheckpointError, match="--text-model"):
        family.read(checkpoint, None, None, None)
