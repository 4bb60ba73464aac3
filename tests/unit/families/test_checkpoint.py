"""Checkpoints: published format and safetensors, exact names, no code."""

import json
import os
import pickle
import shutil

import pytest
import torch
from conftest import export_quietly
from safetensors.torch import save_file

from alta_sdk import CheckpointError
from alta_training.families.checkpoint import (
    load_model,
    read_checkpoint,
    read_text_model,
    save_checkpoint,
)
from alta_training.model.names import published_name


@pytest.fixture
def text_model(checkpoint_folder):
    return read_text_model(checkpoint_folder / "text-model")


@pytest.fixture
def published_file(model, tmp_path):
    """The model as the published file has it: a pickle of {"model", "epoch"}, missing_token in float16."""
    state = {published_name(name): tensor for name, tensor in model.state_dict().items()}
    state["missing_token"] = state["missing_token"].half()
    path = tmp_path / "ALTA.pth"
    torch.save({"model": state, "epoch": 29}, path)
    return path


def test_published_format_loads_with_half_precision_missing_token(published_file, text_model, model):
    loaded = load_model(read_checkpoint(published_file), text_model)
    assert loaded.image.missing_token.dtype == torch.float32
    torch.testing.assert_close(loaded.image.missing_token, model.image.missing_token.half().float())


def test_every_weight_survives_a_load_and_a_save(checkpoint_folder, text_model, tmp_path):
    first = read_checkpoint(checkpoint_folder / "model.safetensors")
    save_checkpoint(load_model(first, text_model), tmp_path / "again.safetensors", {})
    second = read_checkpoint(tmp_path / "again.safetensors")
    assert first.weights.keys() == second.weights.keys()
    for name, tensor in first.weights.items():
        torch.testing.assert_close(second.weights[name], tensor, rtol=0, atol=0)
    assert any(name.startswith("decoder_blocks") for name in second.weights)


@pytest.mark.parametrize(
    "name", ["norm.bias", "blocks.1.attn_adapter.D_fc2.weight", "bert_encoder.cls.predictions.bias"]
)
def test_a_missing_tensor_is_named(published_file, text_model, name):
    checkpoint = read_checkpoint(published_file)
    del checkpoint.weights[name]
    checkpoint.weights.pop("bert_encoder.cls.predictions.decoder.bias", None)
    with pytest.raises(CheckpointError, match=f"missing 1 .*{name}|missing 2 .*{name}"):
        load_model(checkpoint, text_model)


def test_an_unexpected_tensor_is_named(published_file, text_model):
    checkpoint = read_checkpoint(published_file)
    checkpoint.weights["surprise.weight"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r"unexpected 1 \(surprise.weight\)"):
        load_model(checkpoint, text_model)


def test_a_tied_tensor_may_be_absent(published_file, text_model):
    checkpoint = read_checkpoint(published_file)
    del checkpoint.weights["bert_encoder.cls.predictions.decoder.weight"]
    load_model(checkpoint, text_model)


class Payload:
    def __reduce__(self):
        return os.system, ("echo unsafe",)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, capfd):
    torch.save({"model": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="refused"):
        read_checkpoint(tmp_path / "evil.pth")
    assert "unsafe" not in capfd.readouterr().out


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors"])
def test_a_damaged_file_is_refused(name, published_file, checkpoint_folder, tmp_path):
    source = published_file if name.endswith(".pth") else checkpoint_folder / "model.safetensors"
    (tmp_path / name).write_bytes(source.read_bytes()[:5000])
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / name)


def test_values_that_are_not_finite_are_refused(published_file, tmp_path):
    content = torch.load(published_file, weights_only=True)
    content["model"]["norm.weight"][0] = float("nan")
    torch.save(content, tmp_path / "nan.pth")
    with pytest.raises(CheckpointError, match="norm.weight"):
        read_checkpoint(tmp_path / "nan.pth")


def test_number_formats_that_nothing_here_computes_with_are_refused(tmp_path):
    save_file({"a": torch.zeros(4).to(torch.float8_e4m3fn)}, tmp_path / "a.safetensors")
    torch.save({"a": torch.zeros(4, dtype=torch.uint16)}, tmp_path / "a.pt")
    for name, told in (("a.safetensors", "float8_e4m3fn"), ("a.pt", "uint16")):
        with pytest.raises(CheckpointError, match=f"{name}: a holds numbers in the format {told}: save it in float32$"):
            read_checkpoint(tmp_path / name)


def test_whole_numbers_in_the_place_of_weights_are_named(published_file, text_model):
    content = torch.load(published_file, weights_only=True)
    content["model"]["norm.weight"] = content["model"]["norm.weight"].to(torch.int64)
    torch.save(content, published_file)
    with pytest.raises(CheckpointError, match=r"does not fit the ALTA model: of whole numbers 1 \(norm.weight\)"):
        load_model(read_checkpoint(published_file), text_model)


def test_a_text_model_that_is_a_file_is_called_one(published_file):
    with pytest.raises(CheckpointError, match=f"text model {published_file.name} is a file: give the folder"):
        read_text_model(published_file)


@pytest.mark.parametrize("stated", ["yes", "false", 1, None, [True]])
def test_a_case_that_is_neither_true_nor_false_is_refused(checkpoint_folder, tmp_path, stated):
    folder = shutil.copytree(checkpoint_folder / "text-model", tmp_path / "text")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": stated}))
    with pytest.raises(CheckpointError, match="do_lower_case in tokenizer_config.json is neither true nor false"):
        read_text_model(folder)


@pytest.mark.parametrize("eps", ["NaN", "0", "Infinity", "1e9"])
def test_norms_without_an_eps_are_refused(checkpoint_folder, tmp_path, eps):
    folder = shutil.copytree(checkpoint_folder / "text-model", tmp_path / "text")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_eps": float(eps)}))
    with pytest.raises(CheckpointError, match="layer_norm_eps in config.json is not a number|cannot be read as a BERT"):
        read_text_model(folder)


def test_another_text_model_is_refused(published_file, checkpoint_folder, tmp_path):
    folder = tmp_path / "text"
    shutil.copytree(checkpoint_folder / "text-model", folder)
    config = (folder / "config.json").read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    (folder / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match="num_hidden_layers"):
        load_model(read_checkpoint(published_file), read_text_model(folder))


def test_a_folder_without_vocabulary_is_refused(checkpoint_folder, tmp_path):
    shutil.copytree(checkpoint_folder / "text-model", tmp_path / "text")
    (tmp_path / "text" / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match=r"vocab\.txt not found"):
        read_text_model(tmp_path / "text")


@pytest.fixture
def without_decoder(checkpoint_folder, tmp_path):
    """The checkpoint without any tensor of the decoder."""
    checkpoint = read_checkpoint(checkpoint_folder / "model.safetensors")
    kept = {name: own for name, own in checkpoint.weights.items() if not name.startswith(("decoder_", "mask_token"))}
    assert len(kept) < len(checkpoint.weights)
    metadata = {name: value for name, value in checkpoint.metadata.items() if name != "decoder_heads"}
    save_file(kept, tmp_path / "towers.safetensors", metadata=metadata)
    return tmp_path / "towers.safetensors"


def test_a_checkpoint_without_a_decoder_is_a_model_without_one(without_decoder, text_model, model, tmp_path):
    loaded = load_model(read_checkpoint(without_decoder), text_model)
    assert loaded.decoder is None and loaded.sizes.decoder is None
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("decoder.")}
    assert loaded.state_dict().keys() == own.keys()
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in own.items())
    save_checkpoint(loaded, tmp_path / "again.safetensors", {})
    again = read_checkpoint(tmp_path / "again.safetensors")
    assert again.weights.keys() == read_checkpoint(without_decoder).weights.keys()
    assert "decoder_heads" not in again.metadata


def test_a_model_without_a_decoder_is_exported_as_one_with_it(without_decoder, export_options, bundle):
    engine = export_quietly(export_options(checkpoint=without_decoder)).path
    names = {path.name for path in engine.iterdir()}
    assert names == {path.name for path in bundle.iterdir()}
    for name in names - {"manifest.json"}:  # it has the checkpoint's hash and the time
        assert (engine / name).read_bytes() == (bundle / name).read_bytes(), name


@pytest.mark.parametrize(
    "part", ["mask_token", "decoder_embed.weight", "decoder_blocks.0.mlp.fc1.weight", "decoder_norm.bias"]
)
@pytest.mark.parametrize("alone", [False, True], ids=["lacking", "alone"])
def test_a_part_of_a_decoder_is_refused_by_name(part, alone, checkpoint_folder, without_decoder, text_model):
    whole = read_checkpoint(checkpoint_folder / "model.safetensors")
    assert part in whole.weights
    if alone:
        checkpoint = read_checkpoint(without_decoder)
        checkpoint.weights[part] = whole.weights[part]
        missing = "missing decoder_embed.weight" if part != "decoder_embed.weight" else "missing decoder_blocks.0"
    else:
        checkpoint, missing = whole, rf"missing (1 \()?{part}"
        del checkpoint.weights[part]
    with pytest.raises(CheckpointError, match=missing):
        load_model(checkpoint, text_model)


FORMATS = (torch.bool, torch.int32, torch.int64, torch.uint8, torch.float8_e4m3fn, torch.float8_e5m2)


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_a_format_that_is_none_of_a_weight_is_refused(dtype, form, published_file, checkpoint_folder, tmp_path):
    state = dict(torch.load(published_file, weights_only=True)["model"])
    name = next(name for name, tensor in state.items() if name.endswith("bias"))
    state[name] = state[name].to(dtype)
    if form == "pth":
        torch.save({"model": state}, tmp_path / "a.pth")
    else:
        save_file({key: tensor.clone() for key, tensor in state.items()}, tmp_path / "a.safetensors")
    text_model = read_text_model(checkpoint_folder / "text-model")
    with pytest.raises(CheckpointError, match=r"holds numbers in the format|of whole numbers 1 \("):
        load_model(read_checkpoint(tmp_path / f"a.{form}"), text_model)


def test_half_and_double_weights_and_the_counters_of_layers_are_read(published_file, tmp_path):
    state = dict(torch.load(published_file, weights_only=True)["model"])
    names = list(state)[:3]
    for name, dtype in zip(names, (torch.float64, torch.float16, torch.bfloat16), strict=True):
        state[name] = state[name].to(dtype)
    state["norm.num_batches_tracked"] = torch.tensor(3)
    torch.save({"model": state}, tmp_path / "a.pth")
    assert len(read_checkpoint(tmp_path / "a.pth").weights) == len(state)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_no_warning_names_torchs_own_files(protocol, published_file, tmp_path, recwarn):
    state = torch.load(published_file, weights_only=True)["model"]
    torch.save({"model": state}, tmp_path / "a.pth", pickle_protocol=protocol)
    if protocol < 4:
        read_checkpoint(tmp_path / "a.pth")
    else:  # torch's reader of weights alone does not know it
        with pytest.raises(CheckpointError, match="is refused"):
            read_checkpoint(tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps({"model": 3}, protocol))
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "b.pth")
    assert not recwarn.list
