"""Groups of the optimizer, as the published code makes them."""

import torch
from conftest import make_sizes

from alta_training.data.synthetic import make_random_model
from alta_training.model.trainable import freeze_backbones, group_parameters

ALIKE = {"image": 1.0, "text": 1.0, "head": 1.0}


def test_biases_and_vectors_are_not_decayed_and_learned_tokens_are():
    model = make_random_model(make_sizes(), seed=1)
    freeze_backbones(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = group_parameters(model.named_parameters(), 0.05, ALIKE)
    in_decayed, in_kept = (
        {names[id(p)] for group in groups if group["weight_decay"] == decay for p in group["params"]}
        for decay in (0.05, 0.0)
    )
    assert {f"image.{name}" for name in ("cls_token", "view_embedding", "temporal_embedding")} <= in_decayed
    assert {"decoder.mask_token", "image.blocks.0.attn_adapter.D_fc1.weight"} <= in_decayed
    assert {"logit_scale", "image.norm.weight", "image.blocks.0.attn_adapter.D_fc2.bias"} <= in_kept
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert in_decayed | in_kept == trained and not in_decayed & in_kept


def test_a_bias_of_two_dimensions_is_not_decayed():
    own = {name: torch.nn.Parameter(torch.ones(2, 3)) for name in ("own.bias", "own.weight")}
    decayed, kept = group_parameters(own.items(), 0.1, ALIKE)
    assert (decayed["params"], decayed["weight_decay"]) == ([own["own.weight"]], 0.1)
    assert (kept["params"], kept["weight_decay"]) == ([own["own.bias"]], 0.0)


def test_each_part_has_its_share_of_the_rate():
    model = make_random_model(make_sizes(), seed=1)
    freeze_backbones(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = group_parameters(model.named_parameters(), 0.05, {"image": 0.5, "text": 0.25, "head": 2.0})
    share = {names[id(p)]: group["share"] for group in groups for p in group["params"]}
    assert share["image.blocks.0.attn_adapter.D_fc1.weight"] == share["image.cls_token"] == 0.5
    assert share["text.bert.encoder.layer.0.attn_adapter.D_fc1.weight"] == 0.25
    assert share["image.projection_head.dense_to_hidden.weight"] == share["logit_scale"] == 2.0
    assert share["text.cls_projection_head.dense_to_hidden.weight"] == share["decoder.mask_token"] == 2.0


def trained_names(image_tower, text_tower):
    model = make_random_model(make_sizes(), seed=1)
    freeze_backbones(model, image_tower, text_tower)
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_a_frozen_image_tower_trains_its_heads_alone():
    published, own = trained_names("adapters", "adapters"), trained_names("frozen", "adapters")
    assert own == {n for n in published if not n.startswith("image.") or "projection_head" in n}
    assert any(n.startswith("image.projection_head") for n in own)


def test_a_whole_text_tower_trains_all_of_itself_but_its_adapters():
    own = trained_names("frozen", "whole")
    everything = {name for name, _ in make_random_model(make_sizes(), seed=1).named_parameters()}
    assert {n for n in own if n.startswith("text.")} == {
        n for n in everything if n.startswith("text.") and "_adapter" not in n
    }


def test_a_frozen_text_tower_trains_its_heads_alone():
    own = {n for n in trained_names("adapters", "frozen") if n.startswith("text.")}
    assert own and all("projection_head" in n for n in own)
