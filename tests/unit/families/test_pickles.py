"""Pickled checkpoints: what other programs write around a state_dict is understood, or refused with the reason."""

import argparse
import pathlib
from collections import OrderedDict

import pytest
import torch

from alta_sdk import CheckpointError
from alta_training.families import pickles
from alta_training.families.checkpoint import load_model, read_checkpoint, read_text_model
from alta_training.model.names import published_name


@pytest.fixture(scope="module")
def state(model):
    return {published_name(name): tensor for name, tensor in model.state_dict().items()}


@pytest.fixture
def read(tmp_path):
    def save_and_read(content):
        torch.save(content, tmp_path / "some.pth")
        return read_checkpoint(tmp_path / "some.pth")

    return save_and_read


def assert_same(checkpoint, state):
    assert checkpoint.weights.keys() == state.keys()
    assert all(torch.equal(checkpoint.weights[name], tensor) for name, tensor in state.items())


OPTIONS = argparse.Namespace(lr=1e-4, model="mrm_base", betas=(0.9, 0.95), resume=None, layers=[1, {"a": True}])


@pytest.mark.parametrize(
    "more",
    [
        {"epoch": 3, "args": OPTIONS},
        {"args": argparse.Namespace(nested=OPTIONS), "scaler": {"scale": 65536.0}, "optimizer": {"state": {}}},
        {"args": argparse.Namespace()},
    ],
)
def test_options_of_plain_values_are_allowed(read, state, more):
    assert_same(read({"model": state, **more}), state)


def make_loop():
    values = []
    values.append(values)
    return values


@pytest.mark.parametrize(
    "value", [torch.zeros(2), torch.device("cpu"), torch.float32, b"bytes", 1j, [{"a": (torch.Size([3]), b"x")}]]
)
def test_options_of_other_values_are_refused(read, state, value):
    with pytest.raises(CheckpointError, match="options hold more than plain values"):
        read({"model": state, "args": argparse.Namespace(output=value)})


def test_options_that_hold_themselves_or_very_many_values_are_bounded(read, state, monkeypatch):
    read({"model": state, "args": argparse.Namespace(loop=make_loop())})
    monkeypatch.setattr(pickles, "MAX_VALUES", 50)
    with pytest.raises(CheckpointError, match="options"):
        read({"model": state, "args": argparse.Namespace(many=list(range(1000)))})


def test_another_class_is_refused_by_name(read, state):
    with pytest.raises(CheckpointError, match=r"refused: it holds pathlib\.\w+ beside tensors"):
        read({"model": state, "args": argparse.Namespace(output=pathlib.PurePosixPath("a"))})


def test_the_allowed_class_is_allowed_here_alone(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    torch.save({"model": {"a": torch.zeros(1)}, "args": OPTIONS}, tmp_path / "some.pth")
    read_checkpoint(tmp_path / "some.pth")
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("prefix", ["module.", "module.module.", "_orig_mod.", "module._orig_mod.", "model.", "net.a."])
def test_a_prefix_of_all_tensors_is_understood(read, state, prefix, checkpoint_folder):
    checkpoint = read({"model": OrderedDict((f"{prefix}{name}", tensor) for name, tensor in state.items())})
    assert_same(checkpoint, state)
    load_model(checkpoint, read_text_model(checkpoint_folder / "text-model"))


@pytest.mark.parametrize("options", [{"lr": 1e-4}, OPTIONS], ids=["mapping", "namespace"])
def test_a_file_of_lightning_is_understood(read, state, options):
    content = {
        "epoch": 2,
        "global_step": 100,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": OrderedDict((f"model.{name}", tensor) for name, tensor in state.items()),
        "hyper_parameters": options,
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}}],
    }
    assert_same(read(content), state)


def test_towers_under_a_prefix_of_their_own_are_refused_with_the_reason(read, state):
    other = {**{f"model.{name}": tensor for name, tensor in state.items()}, "loss.scale": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r'stands under "model\.", and 1 tensors are not'):
        read({"state_dict": other})
    two = {f"{part}.{name}": tensor for name, tensor in state.items() for part in ("student", "teacher")}
    with pytest.raises(CheckpointError, match="stands under 2 prefixes"):
        read(two)


@pytest.mark.parametrize(
    "content",
    [
        {"model": {}},
        {},
        {"model": {1: torch.zeros(1)}},
        {"model": {"a": [1]}},
        {"model": {"a": {"b": torch.zeros(1)}}},
        torch.zeros(3),
        7,
        argparse.Namespace(model=1),
    ],
)
def test_a_file_without_a_state_dict_is_refused(read, content):
    with pytest.raises(CheckpointError, match="state_dict"):
        read(content)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(10**6, 10**6),
        torch.eye(3).to_sparse(),
        torch.zeros(3, dtype=torch.complex64),
        torch.zeros(3, device="meta"),
    ],
    ids=["expanded", "sparse", "complex", "meta"],
)
def test_a_tensor_that_is_no_plain_array_is_refused(read, state, tensor):
    with pytest.raises(CheckpointError, match=r"norm\.weight (is sparse|claims more)"):
        read({"model": {**state, "norm.weight": tensor}})
