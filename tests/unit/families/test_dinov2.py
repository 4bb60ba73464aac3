"""Folding a DINOv2-style tower into the published names, setting its last norm, checking it, writing it."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from conftest import make_sizes
from fakes.dinov2 import encode_exactly, make_tower, write_hugging_face, write_meta
from safetensors.torch import save_file

from alta_sdk.errors import CheckpointError
from alta_training.data.synthetic import make_random_model, write_text_model
from alta_training.families.backbone import load_backbone
from alta_training.families.checkpoint import read_checkpoint, read_text_model
from alta_training.families.dinov2 import (
    append_pooling,
    build_tower,
    encode_cls,
    fold_tower,
    resample_positions,
    set_last_norm,
    write_backbone,
)
from alta_training.families.dinov2_check import LIMIT, check_tower, make_synthetic_radiographs
from alta_training.families.dinov2_sources import InputStatistics, make_statistics, read_source
from alta_training.model.alta import to_model_input

IMAGES = make_synthetic_radiographs(seed=2, count=6)
IMAGENET = InputStatistics()


@pytest.fixture(scope="module")
def model():
    return make_tower(seed=4)


@pytest.fixture(scope="module")
def source(model, tmp_path_factory):
    return read_source(write_hugging_face(model, tmp_path_factory.mktemp("source")))


def stack(images):
    return torch.from_numpy(np.stack(images))


@torch.inference_mode()
def encode(tower, images):
    return tower(to_model_input(stack(images)), torch.zeros(len(images), dtype=torch.int64))


def fold(source, depth=3, statistics=IMAGENET):
    return fold_tower(source.tensors, source.sizes, depth, statistics)


def test_statistics_of_another_source_are_folded(source, model):
    statistics = InputStatistics((0.5307, 0.4, 0.2), (0.2583, 0.3, 0.5))
    tower = build_tower(fold(source, statistics=statistics), source.heads)
    tower.norm = torch.nn.Identity()
    expected = encode_exactly(model, np.stack(IMAGES), 3, statistics.mean, statistics.deviation)
    assert (encode(tower, IMAGES) - expected).abs().max() < LIMIT * expected.abs().max()
    check_tower(source, fold(source, statistics=statistics), statistics, 3, IMAGES)


def test_patches_of_16_pixels_have_another_grid(tmp_path):
    tower = make_tower(patch_px=16, side=14, depth=1)
    source = read_source(write_meta(tower, tmp_path), 4)
    weights = fold(source, 1)
    assert torch.equal(weights["pos_embed"], source.tensors["pos_embed"])  # 14 by 14 already
    check_tower(source, weights, IMAGENET, 1, IMAGES)


def test_positions_keep_their_values_where_they_do_not_vary():
    positions = torch.cat([torch.zeros(1, 1, 4), torch.ones(1, 37 * 37, 4)], 1).double()
    resampled = resample_positions(positions, 16)
    assert resampled.shape == (1, 257, 4)
    torch.testing.assert_close(resampled[:, 1:], torch.ones(1, 256, 4).double())
    assert torch.equal(resampled[:, :1], positions[:, :1])


def test_names_are_the_published_ones_and_the_cut_takes_the_first_blocks(source):
    weights = fold(source, 2)
    assert {name.split(".")[0] for name in weights} == {"patch_embed", "cls_token", "pos_embed", "blocks", "norm"}
    assert {name.split(".")[1] for name in weights if name.startswith("blocks")} == {"0", "1"}
    assert not [name for name in weights if ".ls" in name]
    assert all(tensor.dtype == torch.float32 and tensor.is_contiguous() for tensor in weights.values())


def test_a_depth_beyond_the_source_is_refused(source):
    with pytest.raises(CheckpointError, match="source has 3 blocks, not 4"):
        fold(source, 4)


def test_the_last_norm_standardises_cls(source):
    weights = set_last_norm(fold(source, 2), source.heads, iter(IMAGES))
    with torch.inference_mode():
        cls = encode_cls(build_tower(weights, source.heads), stack(IMAGES))
    torch.testing.assert_close(cls.mean(0), torch.zeros(32), atol=1e-4, rtol=0)
    torch.testing.assert_close(cls.std(0), torch.ones(32), atol=1e-4, rtol=0)
    untouched = fold(source, 2)
    assert all(torch.equal(weights[n], t) for n, t in untouched.items() if not n.startswith("norm."))


@torch.inference_mode()
def test_a_pooling_block_adds_the_mean_of_the_normed_tokens_to_each(source):
    weights = fold(source, 2)
    pooled = append_pooling(weights)
    assert {name for name in pooled if name not in weights} == {
        name.replace("blocks.0.", "blocks.2.") for name in weights if name.startswith("blocks.0.")
    }
    before, after = build_tower(weights, source.heads), build_tower(pooled, source.heads)
    before.norm = after.norm = torch.nn.Identity()
    tokens = encode(before, IMAGES)
    expected = tokens + torch.nn.functional.layer_norm(tokens, (32,), eps=1e-6).mean(1, keepdim=True)
    torch.testing.assert_close(encode(after, IMAGES), expected, atol=1e-5, rtol=1e-5)


def test_a_channel_that_does_not_vary_stays_finite(source):
    weights = set_last_norm(fold(source), source.heads, [IMAGES[0]] * 4)
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    assert weights["norm.weight"].max() <= 1000


def test_few_radiographs_are_refused(source):
    with pytest.raises(CheckpointError, match="at least 4 radiographs to be set by: got 3"):
        set_last_norm(fold(source), source.heads, IMAGES[:3])
    with pytest.raises(CheckpointError, match="at least 4 radiographs: got 0"):
        check_tower(source, fold(source), IMAGENET, 3, [])


def spoil_a_block(source, weights):
    return source, {**weights, "blocks.1.attn.proj.bias": weights["blocks.1.attn.proj.bias"] + 0.01}


def forget_the_scale(source, weights):
    return source, {**weights, "blocks.2.mlp.fc2.weight": source.tensors["blocks.2.mlp.fc2.weight"]}


def take_other_heads(source, weights):
    own = source.encode
    return dataclasses.replace(source, heads=2, encode=lambda pixels, depth, heads: own(pixels, depth, 4)), weights


def give_no_numbers(source, weights):
    own = source.encode
    return dataclasses.replace(source, encode=lambda *given: own(*given) * float("nan")), weights


@pytest.mark.parametrize("spoil", [spoil_a_block, forget_the_scale, take_other_heads])
def test_the_check_sees_a_tower_that_is_not_the_sources(spoil, source):
    spoiled, weights = spoil(source, fold(source))
    with pytest.raises(CheckpointError, match="the tower is not the source's: .*nothing was written"):
        check_tower(spoiled, weights, IMAGENET, 3, IMAGES)


def test_the_check_is_of_the_statistics_that_were_folded(source):
    with pytest.raises(CheckpointError, match="not the source's"):
        check_tower(source, fold(source), InputStatistics((0.5,) * 3, (0.25,) * 3), 3, IMAGES)


def test_a_source_that_gives_no_numbers_is_refused(source):
    spoiled, weights = give_no_numbers(source, fold(source))
    with pytest.raises(CheckpointError, match="no numbers"):
        check_tower(spoiled, weights, IMAGENET, 3, IMAGES)


@pytest.mark.parametrize("std", [(0.2, 0.2), (0.2, 0.0, 0.2), (0.2, float("nan"), 0.2), (0.2, float("inf"), 0.2)])
def test_statistics_that_cannot_scale_are_refused(std):
    with pytest.raises(CheckpointError, match="three means and three deviations"):
        make_statistics((0.5, 0.5, 0.5), std)


def test_the_written_file_is_the_same_each_time_and_says_what_it_was_given(source, tmp_path):
    stated = {f"key{number}": f"said “{number}”" for number in range(9)} | {"image_heads": str(source.heads)}
    contents = set()
    for number in range(4):
        write_backbone(tmp_path / f"{number}.safetensors", fold(source), stated)
        contents.add((tmp_path / f"{number}.safetensors").read_bytes())
    assert len(contents) == 1
    checkpoint = read_checkpoint(tmp_path / "0.safetensors")
    assert checkpoint.metadata == stated
    assert checkpoint.weights.keys() == fold(source).keys()
    assert all(torch.equal(checkpoint.weights[name], tensor) for name, tensor in fold(source).items())


def test_a_backbone_that_training_loads_has_the_tower_that_was_checked(source, tmp_path):
    weights = fold(source, 2)
    write_backbone(tmp_path / "tower.safetensors", weights, {"image_heads": str(source.heads)})
    text = make_sizes()
    write_text_model(tmp_path / "text-model", text.text.config)
    named = make_random_model(text, seed=1).text.state_dict()
    towers = {name: tensor.clone() for name, tensor in named.items() if "_adapter" not in name}
    save_file(towers, tmp_path / "text-model" / "model.safetensors")
    config = read_text_model(tmp_path / "text-model").config
    backbone = load_backbone(tmp_path / "tower.safetensors", tmp_path / "text-model", config)
    assert backbone.model.sizes.image.heads == source.heads and backbone.model.sizes.image.patches == 256
    loaded = encode(backbone.model.image.eval(), IMAGES)
    assert torch.equal(loaded, encode(build_tower(weights, source.heads), IMAGES))


def test_synthetic_radiographs_are_seeded_and_varied():
    one, again, other = (make_synthetic_radiographs(seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0]) and not np.array_equal(one[0], one[1])
    assert all(image.shape == (224, 224) and image.dtype == np.uint8 and image.std() > 20 for image in one)


def test_the_check_is_one_line_with_its_figure(source):
    said = str(check_tower(source, fold(source), IMAGENET, 3, IMAGES))
    assert re.search(r"at depth 3 against Dinov2Model .* \d\.\de-\d\d of the largest value on 6 radiographs", said)
