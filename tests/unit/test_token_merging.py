"""benchmarks/token_merging_tower.py: what merges nothing is the tower, and what is merged is added up."""

import pytest
import torch
from conftest import ROOT, load_program
from torch.nn import functional as F

from alta_export.towers import MergedAttention, MergedImageTower
from alta_export.verify import make_radiographs

PIXELS = torch.from_numpy(make_radiographs(2, 224))
SLOT = torch.tensor([0, 2])


@pytest.fixture(scope="module")
def merging():
    return load_program(ROOT / "benchmarks" / "token_merging_tower.py")


@pytest.fixture(scope="module")
def tower(model):
    return MergedImageTower(model.image).eval()


@torch.no_grad()
def test_without_merging_it_is_the_tower_to_the_bit(merging, tower):
    cls, tokens = tower.encode(PIXELS, SLOT)
    ours, traced = merging.MergingTower(tower, 0).encode(PIXELS, SLOT, trace=True)
    assert torch.equal(ours, cls) and torch.equal(traced, tokens)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 5, 98])
def test_each_block_but_the_last_has_fewer_tokens_and_a_trace_gives_all_of_them(merging, tower, count):
    whole = tower.encode(PIXELS, SLOT)[1]
    cls, tokens = merging.MergingTower(tower, count).encode(PIXELS, SLOT)
    _, traced = merging.MergingTower(tower, count).encode(PIXELS, SLOT, trace=True)
    assert tokens.shape[1] == whole.shape[1] - count * (len(tower.blocks) - 1)
    assert traced.shape == whole.shape and cls.isfinite().all()
    different = [len(row.unique(dim=0)) for row in traced]
    assert different == [tokens.shape[1]] * 2


def test_the_likest_become_one_and_cls_is_merged_with_nothing(merging):
    key = torch.eye(7)[None]
    key[0, 3] = key[0, 2]  # the second of the first set is like the first of the second
    key[0, 0] = key[0, 4]  # CLS is like a patch
    found = merging.find_merging(key, 1)
    values = torch.arange(7.0)[None, :, None]
    total = found.add_up(torch.ones(1, 7, 1))[0, :, 0]
    assert total.sum() == 7 and total[0] == 1
    assert total.sort().values.tolist() == [1, 1, 1, 1, 1, 2]
    sums = found.add_up(values)[0, :, 0]
    assert sums[0] == 0 and sums[total == 2].item() == 2 + 3


@torch.no_grad()
def test_attention_sees_a_token_of_size_two_as_two(merging, tower):
    attention = next(part for part in tower.modules() if isinstance(part, MergedAttention))
    one = torch.randn(1, 6, tower.norm.normalized_shape[0], generator=torch.Generator().manual_seed(1))
    twice = torch.cat([one, one[:, -1:]], dim=1)
    size = torch.tensor([1.0, 1, 1, 1, 1, 2])[None, :, None]
    both, _ = merging.attend(attention, twice, None)
    ours, _ = merging.attend(attention, one, size)
    assert F.cosine_similarity(ours, both[:, :6], dim=-1).min() > 1 - 1e-6
