"""What a checkpoint says of itself is checked before it is used: heads, numbers of layers, the text model's sizes."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from alta_sdk import CheckpointError
from alta_training.families.checkpoint import Checkpoint, load_model, read_checkpoint, read_text_model

ABSURD = ["-1", "0", "1e9", "1000000000", "four", "", " 2", "2.0", "٢", "[" * 50_000 + "]" * 50_000, "\x1b[2J", "1025"]


@pytest.fixture
def text_model(checkpoint_folder):
    return read_text_model(checkpoint_folder / "text-model")


@pytest.fixture
def whole(checkpoint_folder):
    return read_checkpoint(checkpoint_folder / "model.safetensors")


@pytest.mark.parametrize("key", ["image_heads", "decoder_heads"])
@pytest.mark.parametrize("stated", ABSURD, ids=range(len(ABSURD)))
def test_absurd_heads_are_refused(whole, text_model, tmp_path, key, stated):
    save_file(whole.weights, tmp_path / "absurd.safetensors", metadata={**whole.metadata, key: stated})
    with pytest.raises(CheckpointError, match=f"{key} is not a number"):
        load_model(read_checkpoint(tmp_path / "absurd.safetensors"), text_model)


@pytest.mark.parametrize("key", ["image_heads", "decoder_heads"])
def test_heads_that_do_not_divide_the_width_are_refused(whole, text_model, key):
    whole.metadata[key] = "5"
    with pytest.raises(CheckpointError, match="5 (decoder )?heads"):
        load_model(whole, text_model)


def test_heads_of_the_command_line_do_not_overrule_the_file(whole, text_model):
    with pytest.raises(CheckpointError, match="states 2 image heads, not 4"):
        load_model(whole, text_model, 4)
    assert load_model(whole, text_model, 2).sizes.image.heads == 2


def widen_decoder(weights, width):
    """Give the decoder of width 32 another one, with weights of zero."""
    changed = {}
    for name, tensor in weights.items():
        if name.startswith(("decoder_", "mask_token")):
            sides = [{32: width, 96: 3 * width}.get(size, size) for size in tensor.shape]
            sides[1:] = [32] if name == "decoder_embed.weight" else sides[1:]
            changed[name] = torch.zeros(sides)
    return weights | changed


def test_a_decoder_of_unknown_heads_is_refused_where_it_runs_and_passed_over_where_not(whole, text_model):
    weights = widen_decoder(whole.weights, 36)
    with pytest.raises(CheckpointError, match="does not state the heads of its decoder, and 8 do not divide"):
        load_model(Checkpoint(weights), text_model, 8)
    model = load_model(Checkpoint(weights), text_model, 8, decodes=False)
    assert torch.equal(model.image.norm.weight, weights["norm.weight"])


def test_a_decoder_of_a_width_that_none_has_is_refused(whole, text_model):
    with pytest.raises(CheckpointError, match="no multiple of 4"):
        load_model(Checkpoint(widen_decoder(whole.weights, 33)), text_model, decodes=False)


@pytest.mark.parametrize("name", ["patch_embed.proj.weight", "projection_head.dense_to_output.weight"])
def test_an_empty_tensor_tells_no_size(whole, text_model, name):
    whole.weights[name] = whole.weights[name][:0]
    with pytest.raises(CheckpointError, match=f"missing {name}"):
        load_model(whole, text_model)


@pytest.mark.parametrize("number", ["1000", "999999999", "9" * 5000])
def test_a_name_with_a_huge_number_makes_no_huge_model(whole, text_model, number):
    whole.weights[f"blocks.{number}.norm1.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match="a part of blocks numbered 1000 or more"):
        load_model(whole, text_model)


@pytest.mark.parametrize("patches", [0, 1, 8])
def test_a_position_embedding_of_no_square_is_refused(whole, text_model, patches):
    whole.weights["pos_embed"] = torch.zeros(1, patches, 32)
    with pytest.raises(CheckpointError):
        load_model(whole, text_model)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_attention_heads", 0),
        ("num_attention_heads", -2),
        ("num_attention_heads", 3),
        ("hidden_size", "32"),
        ("num_hidden_layers", 1e9),
        ("vocab_size", None),
        ("intermediate_size", True),
    ],
)
def test_absurd_sizes_of_a_text_model_are_refused(checkpoint_folder, tmp_path, name, value):
    folder = shutil.copytree(checkpoint_folder / "text-model", tmp_path / "text")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, name: value}), encoding="utf-8")
    with pytest.raises(CheckpointError):
        read_text_model(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[]", "7", "null", '{"hidden_size": {"a": []}}'])
def test_a_config_that_is_no_configuration_is_refused(checkpoint_folder, tmp_path, text):
    folder = shutil.copytree(checkpoint_folder / "text-model", tmp_path / "text")
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError):
        read_text_model(folder)


@pytest.mark.parametrize(
    ("key", "stated"),
    [
        ("intensity_profile", "\x1b[2J"),
        ("intensity_profile", ""),
        ("notice", "x" * 200_000),
        ("adapter", "prefix"),
        ("adapter", "[" * 5000),
    ],
    ids=range(5),
)
def test_absurd_statements_are_refused(whole, text_model, tmp_path, key, stated):
    save_file(whole.weights, tmp_path / "absurd.safetensors", metadata={**whole.metadata, key: stated})
    with pytest.raises(CheckpointError):
        load_model(read_checkpoint(tmp_path / "absurd.safetensors"), text_model)
