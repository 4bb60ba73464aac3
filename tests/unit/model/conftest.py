"""Small random models of several sizes, and the same with adapters that add nothing, or a constant alone."""

import pytest
import torch
from conftest import make_sizes

from alta_training.adapters import Adapter
from alta_training.data.synthetic import make_random_model

SIZES = [
    make_sizes(),
    make_sizes(width=48, depth=1, heads=3, adapter=5, text_depth=1),
    make_sizes(width=96, depth=3, heads=4, adapter=24, text_depth=3),
]
SILENT = {  # what is in the names of the adapters, of both towers, that add nothing
    "all": "",
    "attention": "attn_adapter",
    "mlp": "mlp_adapter",
    "first block": ".0.",
    "attention of the last block": "last.attn_adapter",
}


@pytest.fixture(params=SIZES, ids=["32x2", "48x1", "96x3"])
def random_model(request):
    return make_random_model(request.param, seed=5)


@pytest.fixture(params=SILENT.values(), ids=SILENT)
def part(request):
    return request.param


@pytest.fixture(scope="session")
def find_adapters():
    """Return a tower's adapters by name; a block that is the last is called so: blocks.last.mlp_adapter."""

    def find(tower):
        found = {name: module for name, module in tower.named_modules() if isinstance(module, Adapter)}
        last = next(reversed(found)).rpartition(".")[0]
        return {name.replace(f"{last}.", f"{last}.last."): adapter for name, adapter in found.items()}

    return find


@pytest.fixture(scope="session")
def silence(find_adapters):
    """Let the adapters of a model that have this part in their names add nothing, or a constant; return how many."""

    def make_zero(model, part, *, bias=0.0):
        both = (pair for tower in (model.image, model.text) for pair in find_adapters(tower).items())
        chosen = [adapter.merged().up for name, adapter in both if part in name]
        for up in chosen:
            torch.nn.init.zeros_(up.weight)
            torch.nn.init.constant_(up.bias, bias)
        return len(chosen)

    return make_zero


@pytest.fixture(params=["every adapter adds", *SILENT, *(f"{name}: a bias alone" for name in SILENT)])
def mixed_model(request, random_model, silence):
    """A random model, of which some adapters add nothing or a constant."""
    name, _, bias = request.param.partition(": ")
    if name in SILENT:
        assert silence(random_model, SILENT[name], bias=0.3 if bias else 0.0)
    return random_model
