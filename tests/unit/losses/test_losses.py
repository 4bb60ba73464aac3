"""The losses: chance levels, chunks, masks, and what the local loss is by its definition."""

import math

import pytest
import torch
from torch.nn import functional as F

from alta_sdk.errors import TrainingError
from alta_training.losses import (
    contrast_globally,
    contrast_locally,
    measure_reconstruction,
    measure_report_modelling,
    tiles,
)
from alta_training.losses.local_contrastive import match_words
from alta_training.losses.products import PRODUCTS, has_bf16
from alta_training.objectives.local_contrast import LocalSettings


def match_by_definition(patches, words, count, patch_scale, word_scale):
    """One report against one study, as the paper writes it."""
    words = words[:count]
    share = (patches @ words.T).softmax(dim=1)  # (patches, words): over the words
    attention = (patch_scale * share.T).softmax(dim=1)  # (words, patches)
    cosine = F.cosine_similarity(words, attention @ patches, dim=1)
    return (word_scale * cosine).exp().sum().log()


@pytest.fixture
def local_inputs():
    generator = torch.Generator().manual_seed(1)
    patches = torch.randn(5, 12, 16, generator=generator, dtype=torch.float64)
    words = torch.randn(5, 9, 16, generator=generator, dtype=torch.float64)
    counts = [9, 3, 5, 1, 7]
    mask = torch.arange(9) < torch.tensor(counts)[:, None]
    return patches, words, counts, mask, tuple(torch.tensor(s, dtype=torch.float64) for s in (4.0, 5.0, 10.0))


@pytest.mark.parametrize("max_elements", [10**6, 1])
def test_the_local_loss_is_its_definition_in_any_chunks(local_inputs, monkeypatch, max_elements):
    monkeypatch.setattr("alta_training.losses.tiles.CPU_ELEMENTS", max_elements)
    patches, words, counts, mask, scales = local_inputs
    similarity = torch.stack(
        [
            torch.stack([match_by_definition(p, w, n, *scales[:2]) for w, n in zip(words, counts, strict=True)])
            for p in patches
        ]
    )
    logits, own = scales[2] * similarity, torch.arange(5)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(contrast_locally(patches, words, mask, scales), expected)


def test_the_local_loss_has_the_gradient_of_its_definition(local_inputs):
    patches, words, _, mask, scales = local_inputs
    inputs = [tensor.clone().requires_grad_() for tensor in (patches, words, *scales)]
    assert torch.autograd.gradcheck(lambda p, w, *s: contrast_locally(p, w, mask, s), inputs)


@pytest.mark.parametrize("products", ["fp32", "bf16"])
def test_tiles_that_are_kept_give_what_tiles_computed_again_give(monkeypatch, products):
    """To the last bit: the same products either way."""
    if products == "bf16" and not has_bf16():
        products = "fp32"
    generator = torch.Generator().manual_seed(3)
    mask = torch.arange(40) < torch.randint(1, 40, (12, 1), generator=generator)
    given = [torch.randn(12, size, 16, generator=generator) for size in (49, 40)]
    monkeypatch.setattr(tiles, "CPU_ELEMENTS", 2**14)
    values = []
    for kept in (0, 2**26):
        monkeypatch.setattr(tiles, "KEPT_ELEMENTS", kept)
        assert tiles.is_kept(tiles.plan_tiles(given[0], mask), given[0]) == bool(kept)
        leaves = [tensor.clone().requires_grad_() for tensor in (*given, *map(torch.tensor, (4.0, 5.0, 10.0)))]
        loss = contrast_locally(leaves[0], leaves[1], mask, tuple(leaves[2:]), products=products)
        loss.backward()
        values.append([loss.detach(), *(leaf.grad for leaf in leaves)])
    assert all(torch.equal(one, other) for one, other in zip(*values, strict=True))


def test_a_batch_of_reports_of_many_lengths_is_hardly_padded():
    """It fits one tile, padded to its longest report: almost half of that was padding."""
    lengths = torch.arange(8, 128, 4)
    planned = tiles.plan_tiles(torch.empty(32, 196, 1), torch.arange(128) < lengths[:, None])
    chunks = {tuple(tile.reports): tile.longest for tile in planned}
    assert sorted(row for reports in chunks for row in reports) == list(range(len(lengths)))
    words = sum(len(reports) * longest for reports, longest in chunks.items())
    assert words < 1.25 * int(lengths.sum()) and len(chunks) < 9
    few = tiles.plan_tiles(torch.empty(32, 196, 1), torch.arange(20) < torch.arange(1, 20)[:, None])
    assert {len(tile.reports) for tile in few} == {19}, "few words are one product, padded or not"


@pytest.mark.skipif(not has_bf16(), reason="no BF16: this processor lacks it")
def test_products_in_bf16_have_almost_the_gradient():
    generator = torch.Generator().manual_seed(4)
    given = [torch.randn(8, size, 64, generator=generator) / 8 for size in (49, 30)]
    mask = torch.ones(8, 30, dtype=torch.bool)
    gradients, values = [], []
    for products in PRODUCTS:
        leaves = [tensor.clone().requires_grad_() for tensor in given]
        loss = contrast_locally(*leaves, mask, tuple(map(torch.tensor, (4.0, 5.0, 10.0))), products=products)
        loss.backward()
        values.append(float(loss.detach()))
        gradients.append(torch.cat([leaf.grad.flatten() for leaf in leaves]))
    assert F.cosine_similarity(*gradients, dim=0) > 0.9999 and not torch.equal(*gradients)
    assert values[0] == pytest.approx(values[1], rel=1e-3)


def test_products_in_bf16_are_refused_where_the_processor_has_none(local_inputs, monkeypatch):
    monkeypatch.setattr("alta_training.losses.products.has_bf16", lambda: False)
    patches, words, _, mask, scales = local_inputs
    with pytest.raises(TrainingError, match='no BF16 products: set objectives.local.products="fp32"'):
        contrast_locally(patches, words, mask, scales, products="bf16")


def test_a_recipe_says_which_products_and_no_others():
    assert LocalSettings().products == "fp32"
    with pytest.raises(TrainingError, match="products must be one of fp32, bf16"):
        LocalSettings(products="int8")


def test_patches_that_are_masked_do_not_count(local_inputs):
    patches, words, _, mask, scales = local_inputs
    seen = torch.ones(5, 12, dtype=torch.bool)
    seen[:, 8:] = False
    expected = contrast_locally(patches[:, :8], words, mask, scales)
    patches[:, 8:] = 100.0
    torch.testing.assert_close(contrast_locally(patches, words, mask, scales, seen), expected)


def test_a_masked_patch_does_not_set_the_range_of_the_others():
    """In float32, at a scale where the difference of shares underflows."""
    words = torch.tensor([[[4.0, 0.0], [0.0, 4.0]]])
    patches = torch.tensor([[[0.1, 0.0], [0.0, 0.2], [0.0, 3.0]]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    scales = torch.tensor(90.0), torch.tensor(5.0)
    seen = torch.tensor([[True, True, False]])
    expected = match_words(patches[:, :2], words, mask, *scales)
    torch.testing.assert_close(match_words(patches, words, mask, *scales, seen), expected)


def test_the_gradient_heeds_the_patch_mask(local_inputs):
    patches, words, _, mask, scales = local_inputs
    seen = torch.rand(5, 12, generator=torch.Generator().manual_seed(2)) < 0.7
    inputs = [tensor.clone().requires_grad_() for tensor in (patches, words, *scales)]
    assert torch.autograd.gradcheck(lambda p, w, *s: contrast_locally(p, w, mask, s, seen), inputs)


def test_the_global_loss_is_chance_for_vectors_that_are_all_alike():
    same = F.normalize(torch.ones(32, 8), dim=1)
    assert float(contrast_globally(same, same, torch.tensor(10.0))) == pytest.approx(math.log(32), abs=1e-5)


def test_reconstruction_is_zero_for_the_right_answer_and_ignores_visible_patches():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 1, 8, 8, generator=generator)
    cut = target.unflatten(3, (2, 4)).unflatten(2, (2, 4)).permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2)
    three = cut.repeat_interleave(3, dim=2)  # channels last, all equal
    right = (three - three.mean(-1, keepdim=True)) / (three.var(-1, keepdim=True) + 1e-6).sqrt()
    hidden = torch.tensor([[True, False, True, True], [False, True, True, False]])
    right[~hidden] = 9.0
    assert float(measure_reconstruction(right, target, hidden)) == pytest.approx(0, abs=1e-6)


def test_report_modelling_without_a_hidden_word_is_zero_and_has_a_gradient():
    logits = torch.randn(2, 3, 7, requires_grad=True)
    loss = measure_report_modelling(logits, torch.full((2, 3), -100))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
