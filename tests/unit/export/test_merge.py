"""Each merging step is exact: float64 algebra, rounded once."""

import pytest
import torch
from tolerances import MERGED_RELATIVE
from torch.nn import functional as F

from alta_export.affine import Affine
from alta_export.merge import (
    fold_last_attention,
    fold_pixel_scaling,
    merge_attention_adapter,
    merge_shared_input,
    split_attention,
    thirds,
    widen_mlp,
)
from alta_training.model.alta import GREY_MEAN, GREY_STD

SIZES = [(8, 2, 3), (48, 4, 12), (96, 6, 24)]  # width, heads, adapter


def random_affine(out, width):
    return Affine(torch.randn(out, width, dtype=torch.float64) / width**0.5, torch.randn(out, dtype=torch.float64))


def assert_equal_after_cast(merged, reference):
    """Compare a merged result, its weights already rounded to float32, with the unmerged one in float64."""
    error = (merged.double() - reference).norm() / reference.norm()
    assert error < MERGED_RELATIVE


def rounded(affine):
    return Affine(affine.weight.float().double(), affine.bias.float().double())


def attend(query, key, value, heads, x):
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    return (q @ k.transpose(-1, -2), v)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(11)


@pytest.mark.parametrize(("width", "patch_px"), [(8, 4), (48, 16)])
def test_pixel_scaling_and_equal_channels_fold_into_the_patch_embedding(width, patch_px):
    kernel, bias = torch.randn(width, 3, patch_px, patch_px), torch.randn(width)
    grey = torch.randint(0, 256, (2, 1, 4 * patch_px, 4 * patch_px)).double()
    scaled = ((grey / 255 - GREY_MEAN) / GREY_STD).expand(-1, 3, -1, -1)
    reference = F.conv2d(scaled, kernel.double(), bias.double(), stride=patch_px)
    folded = fold_pixel_scaling(kernel, bias, GREY_MEAN, GREY_STD)
    merged = F.conv2d(grey, folded.kernel.float().double(), folded.bias.float().double(), stride=patch_px)
    assert_equal_after_cast(merged, reference)


@pytest.mark.parametrize(("width", "heads", "adapter"), SIZES)
def test_parallel_adapter_widens_the_mlp(width, heads, adapter):
    fc1, fc2 = random_affine(4 * width, width), random_affine(width, 4 * width)
    down, up = random_affine(adapter, width), random_affine(width, adapter)
    x = torch.randn(5, width, dtype=torch.float64)
    wide1, wide2 = widen_mlp(fc1, fc2, down, up, 0.5)
    assert wide1.weight.shape == (4 * width + adapter, width)
    reference = fc2(F.gelu(fc1(x))) + 0.5 * up(F.gelu(down(x)))
    assert_equal_after_cast(rounded(wide2)(F.gelu(rounded(wide1)(x))), reference)


@pytest.mark.parametrize(("width", "heads", "adapter"), SIZES)
def test_sequential_adapter_shares_the_projection_product(width, heads, adapter):
    projection, down, up = random_affine(width, width), random_affine(adapter, width), random_affine(width, adapter)
    x = torch.randn(5, width, dtype=torch.float64)
    merged, side = merge_attention_adapter(projection, down, up)
    both = rounded(merged)(x)
    projected = projection(x)
    reference = projected + up(F.gelu(down(projected)))
    assert_equal_after_cast(both[:, :width] + F.gelu(both[:, width:]) @ side.float().double().T, reference)


@pytest.mark.parametrize(("width", "heads", "adapter"), SIZES)
def test_text_adapter_shares_the_input_product(width, heads, adapter):
    dense, down = random_affine(4 * width, width), random_affine(adapter, width)
    x = torch.randn(5, width, dtype=torch.float64)
    reference = torch.cat([dense(x), down(x)], dim=-1)
    assert_equal_after_cast(rounded(merge_shared_input(dense, down))(x), reference)


@pytest.mark.parametrize(("width", "heads", "adapter"), SIZES)
def test_scale_and_biases_of_attention_fold_away(width, heads, adapter):
    qkv, projection = random_affine(3 * width, width), random_affine(width, width)
    x = torch.randn(2, 7, width, dtype=torch.float64)
    logits, values = attend(*(part(x) for part in thirds(qkv)), heads, x)
    attended = (logits / (width // heads) ** 0.5).softmax(-1) @ values
    reference = projection(attended.transpose(1, 2).flatten(2))
    maps = split_attention(thirds(qkv), projection, heads)
    key, value = (x @ weight.float().double().T for weight in (maps.key, maps.value))
    logits, values = attend(rounded(maps.query)(x), key, value, heads, x)
    merged = rounded(maps.projection)((logits.softmax(-1) @ values).transpose(1, 2).flatten(2))
    assert_equal_after_cast(merged, reference)


@pytest.mark.parametrize(("width", "heads", "adapter"), SIZES)
def test_last_block_attends_from_cls_without_projecting_tokens(width, heads, adapter):
    maps = split_attention(thirds(random_affine(3 * width, width)), random_affine(width, width), heads)
    x = torch.randn(2, 7, width, dtype=torch.float64)
    logits, values = attend(maps.query(x), x @ maps.key.T, x @ maps.value.T, heads, x)
    reference = (logits.softmax(-1) @ values).transpose(1, 2).flatten(2)[:, 0]
    key, value = (part.float().double() for part in fold_last_attention(maps, heads))
    q = rounded(maps.query)(x[:, 0]).unflatten(-1, (heads, 1, -1))
    weights = ((q @ key).squeeze(2) @ x.transpose(1, 2)).softmax(-1)
    assert_equal_after_cast(((weights @ x).unsqueeze(2) @ value).flatten(1), reference)
