"""Groups of the optimizer, as the published code makes them."""

import torch
from conftest import make_sizes

from alta_training.data.synthetic import make_random_model
from alta_training.model.trainable import freeze_backbones, group_parameters


def test_biases_and_vectors_are_not_decayed_and_learned_tokens_are():
    model = make_random_model(make_sizes(), seed=1)
    freeze_backbones(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, kept = group_parameters(model.named_parameters(), 0.05)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.05, 0.0)
    in_decayed, in_kept = ({names[id(p)] for p in group["params"]} for group in (decayed, kept))
    assert {f"image.{name}" for name in ("cls_token", "view_embedding", "temporal_embedding")} <= in_decayed
    assert {"decoder.mask_token", "image.blocks.0.attn_adapter.D_fc1.weight"} <= in_decayed
    assert {"logit_scale", "image.norm.weight", "image.blocks.0.attn_adapter.D_fc2.bias"} <= in_kept
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert in_decayed | in_kept == trained and not in_decayed & in_kept


def test_a_bias_of_two_dimensions_is_not_decayed():
    parameters = [
        ("own.bias", torch.nn.Parameter(torch.ones(2, 3))),
        ("own.weight", torch.nn.Parameter(torch.ones(2, 3))),
    ]
    decayed, kept = group_parameters(parameters, 0.1)
    assert [len(group["params"]) for group in (decayed, kept)] == [1, 1]
    assert kept["params"][0] is parameters[0][1]
