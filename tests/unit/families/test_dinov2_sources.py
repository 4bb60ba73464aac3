"""Reading a DINOv2-style tower from each form that files have; what is no such tower is refused in one line."""

import json
import shutil
import zipfile

import numpy as np
import onnx
import pytest
import torch
from fakes.dinov2 import (
    MetaTower,
    Wrapped,
    encode_exactly,
    make_tower,
    name_as_meta,
    write_hugging_face,
    write_meta,
    write_onnx,
)
from onnx import numpy_helper
from safetensors.torch import load_file, save_file
from transformers import Dinov2Config, Dinov2Model

from alta_sdk.errors import CheckpointError
from alta_training.families.dinov2 import build_tower, fold_tower
from alta_training.families.dinov2_check import LIMIT, check_tower, make_synthetic_radiographs
from alta_training.families.dinov2_sources import InputStatistics, read_source
from alta_training.model.alta import to_model_input

HEADS = 4
MEMBER = "package/models/tower.onnx"
IMAGES = make_synthetic_radiographs(seed=1)


@pytest.fixture(scope="module")
def model():
    return make_tower(heads=HEADS)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    graph = write_onnx(model, folder / "tower.onnx")
    with zipfile.ZipFile(folder / "package-1.0-py3-none-any.whl", "w") as archive:
        archive.write(graph, MEMBER)
        archive.writestr("package/__init__.py", "")
    meta = write_meta(model, folder)
    torch.save(load_file(meta), folder / "meta.pth")
    new_exporter = {"dynamo": True, "opset_version": None, "external_data": False, "verbose": False}
    return {
        "Hugging Face": write_hugging_face(model, folder / "plain"),
        "Hugging Face, prefix": write_hugging_face(model, folder / "prefix", "dinov2."),
        "Meta": meta,
        "Meta, prefix": write_meta(model, folder / "prefix", "backbone."),
        "Meta, pickled": folder / "meta.pth",
        "ONNX": graph,
        "ONNX, prefix": write_onnx(Wrapped(model), folder / "wrapped.onnx"),
        "ONNX, Meta's names": write_onnx(MetaTower(model, name_as_meta(model, folder)), folder / "meta.onnx"),
        "ONNX, one image": write_onnx(model, folder / "one.onnx", dynamic=False),
        "ONNX, new exporter": write_onnx(model, folder / "new.onnx", dynamic=False, **new_exporter),
        "wheel": folder / "package-1.0-py3-none-any.whl",
    }


FORMS = (
    "Hugging Face",
    "Hugging Face, prefix",
    "Meta",
    "Meta, prefix",
    "Meta, pickled",
    "ONNX",
    "ONNX, prefix",
    "ONNX, Meta's names",
    "ONNX, one image",
    "ONNX, new exporter",
    "wheel",
)


@torch.inference_mode()
def encode(weights, heads):
    tower = build_tower(weights, heads)
    tower.norm = torch.nn.Identity()
    return tower(to_model_input(torch.from_numpy(np.stack(IMAGES))), torch.zeros(len(IMAGES), dtype=torch.int64))


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_tokens_of_every_form_are_the_source_models(form, depth, files, model):
    source = read_source(files[form], HEADS if form.startswith("Meta") else None)
    weights = fold_tower(source.tensors, source.sizes, depth, InputStatistics())
    expected = encode_exactly(model, np.stack(IMAGES), depth)
    tokens = encode(weights, source.heads)
    assert (tokens - expected).abs().max() < LIMIT * expected.abs().max()
    check = check_tower(source, weights, InputStatistics(), depth, IMAGES)
    assert check.difference < LIMIT / 10 and check.radiographs == len(IMAGES)


@pytest.mark.parametrize("form", FORMS)
def test_heads_are_the_sources_word_or_dinov2s_rule(form, files):
    source = read_source(files[form])
    if form.startswith("Meta") and form != "Meta, prefix":
        assert (source.heads, source.heads_from) == (1, "64 units each, DINOv2's rule")  # 32 wide: one head
    else:  # Meta's file with a prefix lies beside a config.json
        told_by = "config.json" if files[form].suffix == ".safetensors" else "the graph"
        assert (source.heads, source.heads_from) == (HEADS, told_by)
    assert (asked := read_source(files[form], 2)).heads == 2 and asked.heads_from == "--image-heads"


def test_a_wheel_is_named_with_its_member(files):
    assert read_source(files["wheel"]).file == f"{files['wheel'].name}, {MEMBER}"


def test_equal_tensors_of_a_graph_are_stored_once_and_found(tmp_path):
    torch.manual_seed(5)
    config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=70, patch_size=14)
    fresh = Dinov2Model(config).eval()  # biases of zero, norms and LayerScale of one: all of them equal
    source = read_source(write_onnx(fresh, tmp_path / "fresh.onnx"))
    weights = fold_tower(source.tensors, source.sizes, 2, InputStatistics())
    assert check_tower(source, weights, InputStatistics(), 2, IMAGES).difference < LIMIT


def test_a_tower_without_layer_scale_is_taken(files, model, tmp_path):
    tensors = {name: tensor for name, tensor in load_file(files["Meta"]).items() if ".ls" not in name}
    save_file(tensors, tmp_path / "plain.safetensors")
    source = read_source(tmp_path / "plain.safetensors", HEADS)
    weights = fold_tower(source.tensors, source.sizes, 3, InputStatistics())
    assert torch.equal(weights["blocks.0.mlp.fc2.weight"], tensors["blocks.0.mlp.fc2.weight"])
    check_tower(source, weights, InputStatistics(), 3, IMAGES)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}, ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))),
        ({"do_normalize": False, "image_mean": [0.5] * 3, "image_std": [0.2] * 3}, ((0.0,) * 3, (1.0,) * 3)),
        ({"size": 518}, None),
    ],
)
def test_input_statistics_beside_the_weights_are_read(stated, expected, files, tmp_path):
    file = shutil.copy(files["Hugging Face"], tmp_path / "model.safetensors")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated), encoding="utf-8")
    found = read_source(file, HEADS).statistics
    assert (found and (found.mean, found.deviation)) == expected


def change(tensors, name, value):
    return {**tensors, name: value}


def drop(tensors, name):
    return {key: tensor for key, tensor in tensors.items() if key != name}


def add_nan(tensors, name):
    changed = tensors[name].clone()
    changed.view(-1)[0] = float("nan")
    return change(tensors, name, changed)


SPOILED = {
    "no ViT": (lambda t: {"conv1.weight": t["cls_token"]}, "no DINOv2-style ViT"),
    "no blocks": (lambda t: {k: v for k, v in t.items() if "blocks" not in k}, "no blocks"),
    "lacking": (lambda t: drop(t, "blocks.1.norm2.bias"), "source lacks blocks.1.norm2.bias"),
    "lacking block": (lambda t: {k: v for k, v in t.items() if "blocks.1." not in k}, "source lacks blocks.1."),
    "one scale lost": (lambda t: drop(t, "blocks.2.ls1.gamma"), "source lacks blocks.2.ls1.gamma"),
    "more": (lambda t: change(t, "blocks.0.attn.q_norm.weight", torch.ones(8)), "no place for blocks.0.attn.q_norm"),
    "two towers": (
        lambda t: {**t, **{f"teacher.{k}": v.clone() for k, v in t.items()}},
        r"2 towers, under \(none\), teacher",
    ),
    "Meta's registers": (lambda t: change(t, "register_tokens", torch.ones(1, 4, 32)), "register tokens"),
    "timm's registers": (lambda t: change(t, "reg_token", torch.ones(1, 4, 32)), "register tokens"),
    "SwiGLU": (lambda t: change(t, "blocks.0.mlp.w12.weight", torch.ones(64, 32)), "SwiGLU"),
    "timm's SwiGLU": (lambda t: change(t, "blocks.0.mlp.fc2.weight", torch.ones(32, 48)), "mlp.fc2.weight is 32 × 48"),
    "shape": (lambda t: change(t, "norm.weight", torch.ones(31)), "norm.weight is 31, not 32"),
    "not square": (lambda t: change(t, "pos_embed", torch.ones(1, 21, 32)), "pos_embed is 1 × 21 × 32"),
    "flat kernel": (lambda t: change(t, "patch_embed.proj.weight", torch.ones(32, 588)), "sizes do not fit"),
    "one channel": (lambda t: change(t, "patch_embed.proj.weight", torch.ones(32, 1, 14, 14)), "sizes do not fit"),
    "patches": (lambda t: change(t, "patch_embed.proj.weight", torch.ones(32, 3, 15, 15)), "15 pixels do not divide"),
    "not finite": (lambda t: add_nan(t, "blocks.0.attn.qkv.weight"), "not finite"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_what_is_no_whole_plain_tower_is_refused(kind, files, tmp_path):
    spoil, said = SPOILED[kind]
    save_file(spoil(load_file(files["Meta"])), tmp_path / "spoiled.safetensors")
    with pytest.raises(CheckpointError, match=said) as caught:
        read_source(tmp_path / "spoiled.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("embeddings.register_tokens", (1, 4, 32), "register tokens"),
        ("encoder.layer.0.mlp.weights_in.weight", (64, 32), "SwiGLU"),
        ("encoder.layer.0.attention.attention.extra.weight", (32, 32), "no place for"),
    ],
)
def test_hugging_faces_other_kinds_are_refused(name, shape, said, files, tmp_path):
    save_file({**load_file(files["Hugging Face"]), name: torch.ones(shape)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=said):
        read_source(tmp_path / "model.safetensors")


def test_a_width_that_positions_cannot_have_is_refused(tmp_path):
    odd = make_tower(width=30, heads=2, depth=1)
    with pytest.raises(CheckpointError, match="width 30 is not a multiple of 4"):
        read_source(write_meta(odd, tmp_path))


@pytest.mark.parametrize("form", ["Hugging Face", "Meta, pickled", "ONNX", "wheel"])
@pytest.mark.parametrize("kept", [0, 50, 0.5, 0.97])
def test_truncated_files_are_refused(form, kept, files, tmp_path):
    content = files[form].read_bytes()
    file = tmp_path / files[form].name
    file.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError):
        read_source(file)


def test_a_file_that_is_not_there_or_not_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="not found"):
        read_source(tmp_path / "absent.onnx")
    for name in ("words.onnx", "words.whl", "words.safetensors", "words.txt"):
        (tmp_path / name).write_text("no tower, a line of words", encoding="utf-8")
        with pytest.raises(CheckpointError):
            read_source(tmp_path / name)


@pytest.mark.parametrize("count", [0, 2])
def test_an_archive_has_to_hold_one_graph(count, files, tmp_path):
    with zipfile.ZipFile(tmp_path / "several.zip", "w") as archive:
        for number in range(count):
            archive.write(files["ONNX"], f"{number}.onnx")
    with pytest.raises(CheckpointError, match=f"holds {count} .onnx files"):
        read_source(tmp_path / "several.zip")


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"num_attention_heads": 5}, "5 heads"),
        ({"num_attention_heads": "four"}, "four heads"),
        ({"hidden_act": "relu"}, "activation other than gelu"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps other than 1e-06"),
    ],
)
def test_a_configuration_with_other_rules_is_refused(stated, said, files, tmp_path):
    file = shutil.copy(files["Hugging Face"], tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(stated), encoding="utf-8")
    with pytest.raises(CheckpointError, match=said):
        read_source(file)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_damaged_configuration_is_refused(name, files, tmp_path):
    file = shutil.copy(files["Hugging Face"], tmp_path / "model.safetensors")
    (tmp_path / name).write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match=f"^{name} beside the source cannot be read"):
        read_source(file)
    if name.startswith("pre"):
        for stated in ({"image_mean": 0.5, "image_std": 0.5}, {"image_mean": [0.5] * 3, "image_std": [0, 1, 1]}):
            (tmp_path / name).write_text(json.dumps(stated), encoding="utf-8")
            with pytest.raises(CheckpointError, match="statistics"):
                read_source(file)


def change_graph(file, target, edit):
    graph = onnx.load(file)
    edit(graph.graph)
    onnx.save(graph, target)
    return target


def add_nan_to_a_product(graph):
    product = next(tensor for tensor in graph.initializer if "MatMul" in tensor.name)
    values = numpy_helper.to_array(product).copy()
    values[0, 0] = np.nan
    product.CopyFrom(numpy_helper.from_array(values, product.name))


def cut_a_tensor(graph):
    next(tensor for tensor in graph.initializer if "MatMul" in tensor.name).raw_data = b"1234"


def hide_a_bias(graph):
    for node in graph.node:
        for number, name in enumerate(node.input):
            node.input[number] = "hidden" if name.endswith("1.mlp.fc1.bias") else name
    for tensor in graph.initializer:
        tensor.name = "hidden" if tensor.name.endswith("1.mlp.fc1.bias") else tensor.name


def add_another_grid(graph):
    graph.initializer.append(numpy_helper.from_array(np.ones((1, 25, 32), np.float32), "another"))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (add_nan_to_a_product, "not finite"),
        (cut_a_tensor, "damaged"),
        (hide_a_bias, r"lacks blocks.1.mlp.fc1.bias"),
        (add_another_grid, "positions cannot be told"),
    ],
)
def test_graphs_that_lost_something_are_refused(edit, said, files, tmp_path):
    with pytest.raises(CheckpointError, match=said):
        read_source(change_graph(files["ONNX"], tmp_path / "edited.onnx", edit))


def test_weights_outside_the_graphs_file_are_refused(files, tmp_path):
    graph = onnx.load(files["ONNX"])
    onnx.save(graph, tmp_path / "outside.onnx", save_as_external_data=True, location="data", size_threshold=0)
    with pytest.raises(CheckpointError, match="lie in another file"):
        read_source(tmp_path / "outside.onnx")


def test_a_graph_for_another_size_is_refused_when_it_is_checked(model, tmp_path):
    source = read_source(write_onnx(model, tmp_path / "small.onnx", px=70, dynamic=False))
    weights = fold_tower(source.tensors, source.sizes, 1, InputStatistics())
    with pytest.raises(CheckpointError, match="takes 70 pixels a side only"):
        check_tower(source, weights, InputStatistics(), 1, IMAGES)
