"""Products in 8 bits: rounded once, stored without loss, and refused where a scale is missing."""

import pytest
import torch
from conftest import make_sizes
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from alta_sdk.errors import CheckpointError
from alta_training.data.synthetic import make_random_model, write_text_model
from alta_training.families.checkpoint import load_model, read_checkpoint, read_text_model, save_checkpoint
from alta_training.families.storage import pack, render_safetensors, round_products, round_to_int8, unpack


def draw(*shape, seed=0, spread=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * spread


@pytest.mark.parametrize("spread", [1e-6, 0.02, 1.0, 300.0])
def test_rounding_is_to_the_nearest_step_of_a_channel(spread):
    weight = draw(7, 50, spread=spread)
    rounded = round_to_int8(weight)
    step = weight.abs().amax(1, keepdim=True) / 127
    assert ((rounded - weight).abs() <= step * 0.5001).all()
    assert ((rounded / step).abs() <= 127.01).all() and not torch.equal(rounded, weight)


@pytest.mark.parametrize("seed", range(20))
def test_what_was_rounded_is_stored_and_read_to_the_bit(seed):
    weights = {"blocks.0.attn.qkv.weight": round_to_int8(draw(9, 33, seed=seed, spread=10.0 ** (seed % 7 - 4)))}
    packed = pack(weights)
    assert packed["blocks.0.attn.qkv.weight"].dtype == torch.int8
    assert packed["blocks.0.attn.qkv.weight_scale"].shape == (9,)
    restored = unpack(packed)
    assert restored.keys() == weights.keys()
    assert all(torch.equal(restored[name], weight) for name, weight in weights.items())


def test_only_what_loses_nothing_is_packed():
    weights = {"a.weight": draw(5, 6), "b.weight": draw(5), "c.bias": torch.zeros(5, 6), "d.weight": torch.zeros(3, 4)}
    packed = pack(weights)
    assert [name for name, tensor in packed.items() if tensor.dtype == torch.int8] == ["d.weight"]
    assert torch.equal(unpack(packed)["d.weight"], torch.zeros(3, 4))
    assert torch.equal(packed["a.weight"], weights["a.weight"])


def test_products_under_a_prefix_are_rounded_and_nothing_else():
    weights = {
        "blocks.0.mlp.fc1.weight": draw(4, 5),
        "blocks.0.norm1.weight": draw(5),
        "patch_embed.proj.weight": draw(4, 5),
    }
    rounded = round_products(weights, "blocks.")
    assert [name for name in weights if not torch.equal(weights[name], rounded[name])] == ["blocks.0.mlp.fc1.weight"]


@pytest.mark.parametrize("spoil", ["no scale", "scale of another size", "a vector"])
def test_a_file_in_8_bits_without_its_scales_is_refused(spoil, tmp_path):
    stored = pack({"a.weight": round_to_int8(draw(4, 5))})
    if spoil == "no scale":
        del stored["a.weight_scale"]
    elif spoil == "scale of another size":
        stored["a.weight_scale"] = torch.ones(3)
    else:
        stored = {"a.weight": torch.ones(4, dtype=torch.int8), "a.weight_scale": torch.ones(4)}
    save_file(stored, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"a\.weight is in 8 bits"):
        read_checkpoint(tmp_path / "x.safetensors")


def test_a_scale_that_is_not_finite_is_refused(tmp_path):
    stored = pack({"a.weight": round_to_int8(draw(4, 5))})
    stored["a.weight_scale"][1] = float("inf")
    save_file(stored, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="not finite"):
        read_checkpoint(tmp_path / "x.safetensors")


def test_a_published_file_keeps_rounded_products_to_the_bit_in_a_quarter(tmp_path):
    sizes = make_sizes()
    model = make_random_model(sizes, seed=3)
    with torch.no_grad():
        for name, parameter in model.image.blocks.named_parameters():
            if name.endswith(".weight") and parameter.ndim == 2:
                parameter.copy_(round_to_int8(parameter))
    save_checkpoint(model, tmp_path / "x.safetensors", {}, torch.float16)
    stored = load_file(tmp_path / "x.safetensors")
    assert stored["blocks.0.attn.qkv.weight"].dtype == torch.int8
    assert stored["projection_head.dense_to_hidden.weight"].dtype == torch.float16
    write_text_model(tmp_path / "text", sizes.text.config)
    read = read_checkpoint(tmp_path / "x.safetensors")
    assert read.formats == ("float16", "float32", "int8")
    again = load_model(read, read_text_model(tmp_path / "text"))
    expected = dict(model.image.blocks.named_parameters())
    for name, parameter in again.image.blocks.named_parameters():
        if parameter.ndim == 2:
            assert torch.equal(parameter, expected[name]), name


def test_a_copy_of_such_a_file_in_float32_means_the_same():
    weights = {"blocks.0.attn.qkv.weight": round_to_int8(draw(9, 33)), "norm.weight": draw(9)}
    copied = {name: tensor.float() for name, tensor in pack(weights).items()}
    assert unpack(copied).keys() == weights.keys()
    assert all(torch.equal(unpack(copied)[name], tensor) for name, tensor in weights.items())


def test_the_same_content_is_the_same_bytes(tmp_path):
    """Safetensors keeps its metadata in a map, whose order is another one each time."""
    metadata = {f"statement {number}": "x" for number in range(20)}
    files = {render_safetensors({"b": torch.ones(3), "a": torch.zeros(2, 2)}, metadata) for _ in range(8)}
    assert len(files) == 1
    (tmp_path / "one.safetensors").write_bytes(files.pop())
    with safe_open(tmp_path / "one.safetensors", framework="pt") as file:
        assert file.metadata() == metadata and torch.equal(file.get_tensor("b"), torch.ones(3))
