"""Merged towers give what the towers with adapters give, at several sizes, and where some adapters add nothing."""

import torch
from tolerances import FLOAT32

from alta_export.cost import measure_cost
from alta_export.families.alta import measure_merging
from alta_export.towers import (
    MergedImageTower,
    MergedTextTower,
    PatchTower,
    TracedImageTower,
    compute_missing_cls,
)
from alta_training.model.alta import to_model_input


def test_image_tower(mixed_model):
    grey = torch.randint(0, 256, (4, 224, 224), dtype=torch.uint8)
    slot = torch.arange(4)
    with torch.no_grad():
        expected = mixed_model.image(to_model_input(grey), slot)[:, 0]
        merged = MergedImageTower(mixed_model.image).eval()(grey[:, None], slot)
    torch.testing.assert_close(merged, expected, **FLOAT32)


def test_patches_go_on_from_the_tokens_before_the_last_block(mixed_model):
    grey = torch.randint(0, 256, (4, 224, 224), dtype=torch.uint8)
    slot = torch.arange(4)
    with torch.no_grad():
        tokens = mixed_model.image(to_model_input(grey), slot)
        expected = mixed_model.image.local_projection_head(tokens[:, 1:])
        cls, before_last = TracedImageTower(mixed_model.image).eval()(grey[:, None], slot)
        patches = PatchTower(mixed_model.image).eval()(before_last)
    torch.testing.assert_close(patches, expected, **FLOAT32)
    torch.testing.assert_close(cls, tokens[:, 0], **FLOAT32)


def test_slots_differ(random_model):
    grey = torch.randint(0, 256, (1, 1, 224, 224), dtype=torch.uint8).expand(4, -1, -1, -1)
    with torch.no_grad():
        cls = MergedImageTower(random_model.image).eval()(grey, torch.arange(4))
    assert torch.pdist(cls).min() > 1e-3


def test_text_tower_with_padding(mixed_model):
    ids = torch.randint(5, 90, (3, 12))
    mask = (torch.arange(12) < torch.tensor([[12], [7], [3]])).long()
    with torch.no_grad():
        projection, words = mixed_model.text.project(mixed_model.text(ids, mask))
        merged_projection, merged_words = MergedTextTower(mixed_model.text).eval()(ids, mask)
    torch.testing.assert_close(merged_projection, projection, **FLOAT32)
    seen = mask[:, 1:].bool()
    torch.testing.assert_close(merged_words[seen], words[seen], **FLOAT32)


def test_missing_slots_are_constants(random_model):
    missing = torch.tensor([[False, True, True, True]])
    with torch.no_grad():
        cls, _ = random_model.image.encode_studies(torch.randn(1, 4, 3, 224, 224), missing)
    torch.testing.assert_close(compute_missing_cls(random_model.image).float(), cls[0, 1:], **FLOAT32)


def test_costs_are_counted_before_and_after(random_model):
    image, text = MergedImageTower(random_model.image), MergedTextTower(random_model.text)
    costs = measure_merging(random_model, image, text)
    assert costs["image_after"]["multiply_adds"] < costs["image_before"]["multiply_adds"]
    assert costs["image_after"]["parameters"] < costs["image_before"]["parameters"]


def test_a_linear_layer_costs_what_it_must():
    layer = torch.nn.Linear(10, 7)
    cost = measure_cost(layer, torch.randn(3, 10))
    assert (cost.parameters, cost.multiply_adds) == (77, 3 * 70)
