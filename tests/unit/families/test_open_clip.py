"""BiomedCLIP's layout: the folder and the tensors are read whole or refused with names."""

import copy
import json

import pytest
import torch
from fakes.clip import EMBEDDING, make_clip_weights
from fakes.open_clip import WORDS, make_open_clip_config, make_open_clip_weights, write_open_clip_folder
from safetensors.torch import save_file

from alta_sdk import CheckpointError
from alta_sdk.engine.tokenizer import PromptTokenizer, build_wordpiece
from alta_training.families.checkpoint import Checkpoint, read_checkpoint
from alta_training.families.open_clip import OPEN_CLIP
from alta_training.families.open_clip_folder import find_open_clip_weights
from alta_training.families.registry import recognise


@pytest.fixture
def folder(tmp_path):
    return write_open_clip_folder(tmp_path / "BiomedCLIP")


def read(folder, weights=None, image_heads=None, **metadata):
    checkpoint = Checkpoint(weights or make_open_clip_weights(), metadata, "0" * 64)
    return recognise(checkpoint.weights).read(checkpoint, folder, None, image_heads)


def test_the_published_folder_is_read(folder):
    path = find_open_clip_weights(folder)
    checkpoint = read_checkpoint(path)
    towers = recognise(checkpoint.weights).read(checkpoint, folder, None, None)
    assert path.name == "open_clip_pytorch_model.bin" and towers.family == OPEN_CLIP.name
    assert (towers.geometry.rule, towers.geometry.crop_px, towers.sizes["max_tokens"]) == ("shorter-side", 96, 16)
    assert towers.logit_scale == pytest.approx(checkpoint.weights["logit_scale"].exp().item())
    grey = torch.randint(0, 256, (2, 1, 96, 96), dtype=torch.uint8)
    ids = PromptTokenizer(towers.tokenizer_json, 16).encode(["No edema"])
    assert ids == [[WORDS.index(word) for word in ("[CLS]", "no", "edema", "[SEP]")]]
    with torch.no_grad():
        assert torch.equal(towers.image(grey), towers.image.project(towers.image.static(grey)))
        assert towers.text(torch.tensor(ids), torch.ones(1, 4, dtype=torch.int64)).shape == (1, EMBEDDING)


def test_pixels_are_scaled_as_the_config_says(folder):
    white = read(folder).image.scaling(torch.full((1, 1, 96, 96), 255, dtype=torch.uint8))
    torch.testing.assert_close(white[0, :, 0, 0], torch.tensor([0.5 / 0.2, 0.6 / 0.3, 0.7 / 0.4]))


def test_safetensors_are_read_first_and_nothing_is_told(folder):
    save_file(make_open_clip_weights(), folder / "open_clip_model.safetensors")
    assert find_open_clip_weights(folder).name == "open_clip_model.safetensors"
    for name in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
        (folder / name).unlink()
    with pytest.raises(CheckpointError, match="BiomedCLIP holds no weights; looked for open_clip_model"):
        find_open_clip_weights(folder)


def test_a_case_that_is_neither_true_nor_false_is_refused(folder):
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": "no"}')
    with pytest.raises(CheckpointError, match="BiomedCLIP: do_lower_case in tokenizer_config.json is neither"):
        read(folder)


def test_a_tokenizer_json_is_the_same_as_the_vocabulary(folder):
    of_vocabulary = read(folder).tokenizer_json
    (folder / "tokenizer.json").write_text(build_wordpiece(WORDS))
    (folder / "vocab.txt").unlink()
    assert read(folder).tokenizer_json == of_vocabulary


def test_position_ids_of_older_transformers_are_passed_over(folder):
    weights = make_open_clip_weights() | {"text.transformer.embeddings.position_ids": torch.arange(20)[None]}
    assert read(folder, weights).family == "open-clip"


@pytest.mark.parametrize("name", sorted(make_open_clip_weights()))
def test_every_tensor_that_is_renamed_is_told(folder, name):
    weights = make_open_clip_weights()
    weights[f"{name}_renamed"] = weights.pop(name)
    with pytest.raises(CheckpointError) as told:
        read(folder, weights)
    assert name in str(told.value) and f"{name}_renamed" in str(told.value)


def test_heads_are_as_published_or_as_stated(folder):
    assert (read(folder).sizes["image_heads"], read(folder).sizes["text_heads"]) == (2, 1)
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": 4}))
    sizes = read(folder, image_heads=4).sizes
    assert (sizes["image_heads"], sizes["text_heads"]) == (4, 4)
    assert read(folder, text_heads="2").sizes["text_heads"] == 2
    with pytest.raises(CheckpointError, match="image tower is 24 wide.*give --image-heads"):
        read(folder, make_open_clip_weights(12))


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("model_cfg", "embed_dim"), 13, "embed_dim 13, the tensors project to 12"),
        (("model_cfg", "text_cfg", "context_length"), 21, "context_length 21, the tensors have 20"),
        (("model_cfg", "text_cfg", "hf_pooler_type"), "mean_pooler", "hf_pooler_type is none of cls_last_hidden_state"),
        (("model_cfg", "text_cfg", "hf_proj_type"), "linear", "hf_proj_type is none of mlp"),
        (("model_cfg", "vision_cfg", "timm_proj"), "mlp", "timm_proj is none of linear"),
        (("preprocess_cfg", "mean"), [0.5], "mean is not a list of 3"),
        (("preprocess_cfg", "std"), [0.5, 0, 0.5], r"std\[1\] is not a number"),
        (("preprocess_cfg", "interpolation"), "bilinear", "interpolation is none of bicubic"),
    ],
)
def test_another_config_is_refused(tmp_path, where, value, words):
    config = copy.deepcopy(make_open_clip_config())
    inner = config
    for name in where[:-1]:
        inner = inner[name]
    inner[where[-1]] = value
    with pytest.raises(CheckpointError, match=words):
        read(write_open_clip_folder(tmp_path / "folder", config))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("open_clip_config.json", None, "open_clip_config.json not found"),
        ("open_clip_config.json", "{", "not JSON"),
        ("open_clip_config.json", "[]", "no object"),
        ("vocab.txt", None, "vocab.txt not found"),
        ("vocab.txt", "no\nedema\n", "lacks .PAD."),
        ("vocab.txt", "\n".join([*WORDS, "more"]), "more tokens than the weights have embeddings"),
        ("tokenizer.json", "{}", "tokenizer.json of the text model cannot be used"),
        ("config.json", '{"hidden_act": "relu"}', "another hidden_act"),
        ("config.json", '{"num_attention_heads": "many"}', "not a number of heads"),
        ("config.json", '{"num_attention_heads": 7}', "7 heads do not divide"),
    ],
)
def test_another_folder_is_refused(folder, name, content, words):
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(CheckpointError, match=words):
        read(folder)


def test_what_is_not_its_own_is_refused(folder):
    checkpoint = Checkpoint(make_open_clip_weights(), {}, "0" * 64)
    with pytest.raises(CheckpointError, match="needs its folder, with open_clip_config.json"):
        OPEN_CLIP.read(checkpoint, None, None, None)
    with pytest.raises(CheckpointError, match="leave --tokenizer out"):
        OPEN_CLIP.read(checkpoint, folder, folder / "some", None)


def test_a_file_of_two_families_is_refused():
    with pytest.raises(CheckpointError, match="several families at once: chexzero .*; open-clip "):
        recognise(make_clip_weights() | make_open_clip_weights())
