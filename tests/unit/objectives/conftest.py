"""A small model and a batch of three studies, one of them with all four radiographs."""

from dataclasses import replace

import pytest
import torch
from conftest import make_sizes

from alta_training.data.batches import Batch
from alta_training.data.synthetic import make_random_model

STUDIES, PATCHES, KEPT, LENGTH = 3, 49, 24, 7


@pytest.fixture
def small_model():
    sizes = make_sizes(width=16, depth=1, adapter=4, text_depth=1)
    return make_random_model(replace(sizes, image=replace(sizes.image, patch_px=32)), seed=4)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(6)

    def draw(*shape, below=256, dtype=torch.uint8):
        return torch.randint(0, below, shape, generator=generator, dtype=dtype)

    ids = draw(STUDIES, LENGTH, below=90, dtype=torch.int64) + 5
    order = torch.rand(STUDIES, 4, PATCHES, generator=generator).argsort(dim=2)
    labels = torch.full_like(ids, -100)
    labels[:, 2:4] = ids[:, 2:4]
    return Batch(
        rows=torch.arange(STUDIES),
        pixels=draw(STUDIES, 4, 224, 224),
        missing=torch.tensor([[False, True, True, True], [False] * 4, [False, False, True, True]]),
        target=draw(STUDIES, 448, 448),
        input_ids=ids,
        attention_mask=(torch.arange(LENGTH) < torch.tensor([[7], [5], [4]])).long(),
        hidden_ids=ids.masked_fill(labels >= 0, 4),
        labels=labels,
        caption_ids=ids[:, :5],
        caption_mask=torch.ones(STUDIES, 5, dtype=torch.int64),
        keep=order[:, :, :KEPT],
        restore=order[:, 0].argsort(dim=1),
        found=draw(STUDIES, 5, below=2, dtype=torch.int8),
        claimed=draw(STUDIES, 5, below=3, dtype=torch.int8) - 1,
        teacher=torch.randn(STUDIES, 12, generator=generator),
        tokens=torch.empty(STUDIES, 0),
        foot=torch.zeros(STUDIES, dtype=torch.int64),
    )
