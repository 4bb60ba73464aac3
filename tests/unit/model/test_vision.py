"""The image tower in parts: from pixels to a block, from there to the end, and CLS alone."""

from dataclasses import replace

import pytest
import torch
from conftest import make_sizes
from tolerances import FLOAT32

from alta_training.data.synthetic import make_random_model

SIZES = {
    "one block": make_sizes(width=16, depth=1, heads=2, adapter=4).image,
    "three": make_sizes(width=48, depth=3, heads=3, adapter=5).image,
    "one head": replace(make_sizes(width=32, depth=2, heads=1, adapter=3).image, patch_px=32),
    "eight heads": replace(make_sizes(width=64, depth=4, heads=8, adapter=16).image, patch_px=56),
}


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def tower(request):
    """With random adapters, norms and embeddings."""
    return make_random_model(replace(make_sizes(text_depth=1), image=request.param), seed=5).image


@pytest.fixture
def pixels():
    return torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(8))


@pytest.fixture(params=["whole", "masked", "missing"])
def more(request, tower):
    """Further arguments of a pass."""
    patches = tower.sizes.patches
    if request.param == "masked":
        order = torch.rand(4, patches, generator=torch.Generator().manual_seed(9)).argsort(dim=1)
        return {"keep": order[:, : patches // 3]}
    return {"missing": torch.tensor([False, True, False, True])} if request.param == "missing" else {}


def test_pixels_to_tokens_and_then_every_block_is_the_whole_pass(tower, pixels, more):
    """To the bit, wherever the pass is cut."""
    slot = torch.arange(4)
    with torch.no_grad():
        expected = tower(pixels, slot, **more)
        tokens = tower.embed_patches(pixels, slot, **more)
        for first in range(len(tower.blocks) + 1):
            assert torch.equal(tower.read_tokens(tokens, first), expected), first
            tokens = tower.blocks[first](tokens) if first < len(tower.blocks) else tokens
        assert torch.equal(tower.norm(tokens), expected)


def test_cls_alone_is_the_cls_of_the_whole_pass(tower, pixels, more):
    slot = torch.arange(4)
    with torch.no_grad():
        expected = tower(pixels, slot, **more)[:, :1]
        tokens = tower.embed_patches(pixels, slot, **more)
        for first in range(len(tower.blocks) + 1):
            torch.testing.assert_close(tower.read_tokens(tokens, first, cls_alone=True), expected, **FLOAT32)
            tokens = tower.blocks[first](tokens) if first < len(tower.blocks) else tokens
        # What was kept of a frozen tower is CLS alone already.
        assert torch.equal(
            tower.read_tokens(tokens[:, :1], len(tower.blocks), cls_alone=True), tower.norm(tokens[:, :1])
        )


def test_a_block_reads_cls_as_it_reads_all(tower):
    block = tower.blocks[0]
    tokens = torch.randn(3, 11, tower.sizes.width, generator=torch.Generator().manual_seed(3))
    whole, alone = tokens.clone().requires_grad_(), tokens.clone().requires_grad_()
    expected, cls = block(whole)[:, :1], block.read_cls(alone)
    torch.testing.assert_close(cls, expected, **FLOAT32)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(4))
    grads = []
    for one in (expected, cls):
        block.zero_grad()
        (one * weights).sum().backward()
        grads.append({name: parameter.grad.clone() for name, parameter in block.named_parameters()})
    torch.testing.assert_close(alone.grad, whole.grad, **FLOAT32)
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, **FLOAT32)
