"""BioViL-T and BioViL: what is read, and how everything that does not fit is refused in one line."""

import json
import re
import shutil

import pytest
import torch
from fakes.biovil import (
    EMBEDDING,
    HIDDEN,
    MLP,
    TEMPORAL,
    make_image_weights,
    make_text_config,
    make_text_weights,
    write_text_folder,
)

from alta_sdk import CheckpointError
from alta_training.families.biovil import BIOVIL, BIOVIL_T, read_biovil_image, read_biovil_t_image
from alta_training.families.biovil_temporal import sine_positions
from alta_training.families.checkpoint import read_checkpoint
from alta_training.families.cxr_bert import read_cxr_bert
from alta_training.families.registry import recognise

FORMS = ("pytorch_model.bin", "model.safetensors")


@pytest.fixture(scope="module")
def image_weights():
    return make_image_weights()


@pytest.fixture(scope="module")
def text_weights():
    return make_text_weights(make_text_config())


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory, text_weights):
    return write_text_folder(tmp_path_factory.mktemp("published") / "text", text_weights, make_text_config())


@pytest.fixture
def read(tmp_path, text_folder):
    """Read a state dict from a file as published."""

    def make(weights, folder=text_folder, **changes):
        torch.save(weights, tmp_path / "image.pt")
        checkpoint = read_checkpoint(tmp_path / "image.pt")
        given = {"tokenizer": None, "image_heads": None, **changes}
        return recognise(checkpoint.weights).read(checkpoint, folder, **given)

    return make


@pytest.fixture
def refuse(read):
    """Return the message of the refusal, which is one line."""

    def make(*arguments, **changes):
        with pytest.raises(CheckpointError) as caught:
            read(*arguments, **changes)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return make


def test_sizes_are_read_from_the_tensors(read, image_weights):
    towers = read(image_weights)
    sizes = towers.sizes
    assert (sizes["temporal_width"], sizes["embedding"], sizes["image_px"]) == (TEMPORAL, EMBEDDING, 448)
    assert towers.image.temporal.blocks[0].mlp.fc1.out_features == MLP
    assert towers.image.projector[0].out_channels == HIDDEN
    assert towers.fusion_modes == ("prior", "frontal") and towers.logit_scale == 1.0


def test_a_missing_prior_is_not_a_black_one(read, image_weights):
    image = read(image_weights).image
    pixels = torch.randint(0, 256, (2, 1, 448, 448), dtype=torch.uint8)
    with torch.no_grad():
        alone, black = image(pixels), image(pixels, torch.zeros_like(pixels))
        difference = image.compare(image.static(pixels), None)
    assert (alone - black).abs().max() > 1e-3
    assert torch.equal(difference, image.missing_prior.expand_as(difference))


def test_current_and_prior_are_not_the_same_to_it(read, image_weights):
    image = read(image_weights).image
    first, second = torch.randn(2, 3, TEMPORAL, 14, 14)
    with torch.no_grad():
        assert (image.project(first, second)[0] - image.project(second, first)[0]).abs().max() > 1e-3
        rows = [image.project(a[None], b[None])[0] for a, b in zip(first, second, strict=True)]
        torch.testing.assert_close(image.project(first, second)[0], torch.cat(rows))


def test_the_projection_is_the_mean_of_the_patches(read):
    image = read(make_image_weights("biovil")).image
    with torch.no_grad():
        projection, patches = image.project(torch.randn(2, image.trunk.channels, 15, 15))
    assert patches.shape == (2, EMBEDDING, 15, 15)
    torch.testing.assert_close(projection, patches.mean((2, 3)))


def test_positions_are_those_of_the_page():
    """families' page: angle(k) = k / (14 + 1e-6) · 2π / 10000^(2⌊i/2⌋/128), the row's 128 values first."""
    table = sine_positions(14, 256)
    for row, column, i in ((0, 0, 0), (3, 7, 5), (13, 2, 126), (5, 13, 127)):
        for half, k in ((0, row + 1), (128, column + 1)):
            angle = torch.tensor(k / (14 + 1e-6) * 2 * torch.pi / 10000 ** (2 * (i // 2) / 128), dtype=torch.float64)
            expected = angle.cos() if i % 2 else angle.sin()
            assert table[row * 14 + column, half + i] == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_both_forms_of_the_text_model_give_the_same(tmp_path, text_weights, text_folder, form):
    folder = write_text_folder(tmp_path / "text", text_weights, make_text_config(), form)
    ids = torch.tensor([[2, 7, 9, 3, 0, 0], [2, 8, 3, 0, 0, 0]])
    with torch.no_grad():
        first, second = (read_cxr_bert(one, EMBEDDING).tower(ids, ids.sign()) for one in (text_folder, folder))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert read_cxr_bert(folder, EMBEDDING).file == form


def test_padding_changes_no_projection(text_folder):
    tower = read_cxr_bert(text_folder, EMBEDDING).tower
    ids = torch.tensor([[2, 7, 9, 3]])
    padded = torch.nn.functional.pad(ids, (0, 12))
    with torch.no_grad():
        torch.testing.assert_close(tower(ids, ids.sign()), tower(padded, padded.sign()))


def test_the_classifier_may_be_gone(read, image_weights):
    read({name: tensor for name, tensor in image_weights.items() if ".fc." not in name})


@pytest.mark.parametrize("part", ["encoder.encoder.fc2.weight", "extra", "encoder.vit_pooler.blocks.3.norm1.weight"])
def test_an_extra_tensor_is_named(refuse, image_weights, part):
    assert f"unexpected 1 ({part})" in refuse({**image_weights, part: torch.zeros(2)})


def list_told_parts(weights):
    """Return the names of the tensors, of the many blocks of one form only one."""
    alike = re.compile(r"layer[234]|layer1\.[1-9]|blocks\.[12]|\.fc\.")
    return [name for name in weights if not alike.search(name)]


@pytest.mark.parametrize("kind", ["biovil-t", "biovil"])
def test_every_missing_or_renamed_tensor_is_named(kind):
    weights = make_image_weights(kind)
    weights = {name: tensor for name, tensor in weights.items() if ".fc." not in name}
    family = {"biovil-t": BIOVIL_T, "biovil": BIOVIL}[kind]
    read_image = {"biovil-t": read_biovil_t_image, "biovil": read_biovil_image}[kind]
    for name in list_told_parts(weights):
        renamed = {f"{other}s" if other == name else other: tensor for other, tensor in weights.items()}
        assert recognise(renamed) is family
        with pytest.raises(CheckpointError) as caught:
            read_image(renamed)
        assert str(caught.value).endswith(f"missing 1 ({name}); unexpected 1 ({name}s)")


def test_every_misshapen_tensor_is_named_and_no_other(image_weights):
    weights = {name: tensor for name, tensor in image_weights.items() if ".fc." not in name}
    for name in list_told_parts(weights):
        tensor = weights[name]
        wrong = tensor[:-1] if tensor.ndim else tensor[None]
        with pytest.raises(CheckpointError) as caught:
            read_biovil_t_image({**weights, name: wrong})
        assert str(caught.value).endswith(f": of another shape 1 ({name})")


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (
            "projector.model.3.bias",
            lambda tensor: tensor.to(torch.int32),
            "of whole numbers 1 (projector.model.3.bias)",
        ),
        ("encoder.backbone_to_vit.weight", lambda tensor: tensor > 0, "of whole numbers 1 (encoder.backbone_to_vit"),
        ("encoder.encoder.bn1.running_var", torch.neg, "of negative variances 1 (encoder.encoder.bn1.running_var)"),
    ],
)
def test_values_that_cannot_be_weights_are_named(refuse, image_weights, name, change, told):
    assert told in refuse({**image_weights, name: change(image_weights[name])})


@pytest.mark.parametrize("form", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_in_other_floating_formats_are_read(read, image_weights, form):
    name = "encoder.backbone_to_vit.weight"
    read({**image_weights, name: image_weights[name].to(form)})


def test_a_width_that_the_heads_do_not_divide_is_refused(refuse):
    assert "8 heads do not divide" in refuse(make_image_weights(temporal=12))


def test_a_part_that_is_gone_is_named(refuse, image_weights):
    kept = {name: tensor for name, tensor in image_weights.items() if not name.startswith("projector.")}
    assert "missing projector.model.0.weight" in refuse(kept)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "name",
    [
        "bert.embeddings.word_embeddings.weight",
        "bert.encoder.layer.1.output.dense.bias",
        "cls.predictions.bias",
        "cls.predictions.transform.dense.weight",
        "cls_projection_head.LayerNorm.weight",
        "cls_projection_head.dense_to_output.weight",
    ],
)
def test_missing_and_unexpected_tensors_of_the_text_model_are_named(tmp_path, text_weights, form, name):
    weights = {other: tensor for other, tensor in text_weights.items() if other != name}
    weights["cls_projection_head.more"] = torch.zeros(1)
    folder = write_text_folder(tmp_path / "text", weights, make_text_config(), form)
    with pytest.raises(CheckpointError) as caught:
        read_cxr_bert(folder, EMBEDDING)
    message = str(caught.value)
    assert name in message and "unexpected 1 (cls_projection_head.more)" in message and "\n" not in message


def change_config(folder, target, **changes):
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **changes}))
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "relu"}, "activation"),
        ({"position_embedding_type": "relative_key"}, "positions"),
        ({"projection_size": 99}, "projects to 99"),
        ({"projection_size": str(EMBEDDING)}, "projection_size in config.json is not a whole number"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps"),
        ({"num_hidden_layers": 3}, "encoder.layer.2."),
        ({"num_hidden_layers": 1}, "unexpected 16"),
        ({"num_hidden_layers": 10**9}, "absurd"),
        ({"vocab_size": 10**30}, "absurd"),
        ({"intermediate_size": 21}, "of another shape 6"),
        ({"vocab_size": 20}, "more tokens"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(refuse, image_weights, text_folder, tmp_path, changes, message):
    assert message in refuse(image_weights, change_config(text_folder, tmp_path / "text", **changes))


def test_a_text_model_of_another_space_is_refused(refuse, image_weights, tmp_path):
    config = make_text_config()
    folder = write_text_folder(tmp_path / "text", make_text_weights(config, EMBEDDING + 1), config)
    assert f"projects to {EMBEDDING + 1} numbers, the image model to {EMBEDDING}" in refuse(image_weights, folder)


def test_another_familys_text_folder_is_refused(refuse, image_weights, checkpoint_folder):
    message = refuse(image_weights, checkpoint_folder / "text-model")
    assert "model.safetensors and pytorch_model.bin" in message


def test_a_text_folder_that_is_not_there_is_refused(refuse, image_weights, tmp_path):
    assert "config.json not found" in refuse(image_weights, tmp_path / "nowhere")


def test_a_vocabulary_that_is_none_of_bert_is_refused(refuse, image_weights, text_folder, tmp_path):
    folder = change_config(text_folder, tmp_path / "text")
    (folder / "vocab.txt").write_text("just\nwords\n")
    assert "lacks [PAD]" in refuse(image_weights, folder)


@pytest.mark.parametrize("form", FORMS)
def test_a_truncated_text_model_is_refused(refuse, image_weights, text_weights, tmp_path, form):
    folder = write_text_folder(tmp_path / "text", text_weights, make_text_config(), form)
    whole = (folder / form).read_bytes()
    (folder / form).write_bytes(whole[: len(whole) // 2])
    assert form in refuse(image_weights, folder)


def test_a_truncated_image_model_is_refused(image_weights, tmp_path):
    torch.save(image_weights, tmp_path / "image.pt")
    whole = (tmp_path / "image.pt").read_bytes()
    (tmp_path / "image.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"image\.pt cannot be read"):
        read_checkpoint(tmp_path / "image.pt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_heads": 8}, "--image-heads"),
        ({"tokenizer": "merges.txt.gz"}, "--tokenizer"),
        ({"folder": None}, "--text"),
    ],
)
def test_what_the_family_has_no_use_for_is_refused(refuse, image_weights, changes, message):
    assert message in refuse(image_weights, **changes)


def test_the_card_reaches_the_family():
    for family in (BIOVIL, BIOVIL_T):
        assert family.licence == "MIT"
        assert "commercial or otherwise --- is currently out of scope" in family.intended_use
