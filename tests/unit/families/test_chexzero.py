"""CheXzero and OpenAI's CLIP: read whole or refused with names, and never taken for each other in doubt."""

import math
import warnings
import zipfile
from dataclasses import replace

import pytest
import torch
from fakes.clip import EMBEDDING, make_clip_weights, write_merges
from safetensors.torch import save_file

from alta_sdk import CheckpointError
from alta_training.families.checkpoint import Checkpoint, read_checkpoint
from alta_training.families.chexzero import CHEXZERO, OPENAI_CLIP
from alta_training.families.clip_model import ClipModel, ClipSizes, TransformerSizes
from alta_training.families.pixel_scaling import PixelScaling, make_bicubic_matrix
from alta_training.families.registry import recognise

# Trainable numbers of OpenAI's vision transformers, by patch side: openai/CLIP.
PUBLISHED_PARAMETERS = {32: 151_277_313, 16: 149_620_737}


@pytest.fixture
def folder(tmp_path):
    return write_merges(tmp_path).parent


@pytest.fixture
def read(folder):
    def read_towers(weights, image_heads=None, formats=("float32",), **metadata):
        checkpoint = Checkpoint(weights, metadata, "0" * 64, formats)
        return recognise(weights).read(checkpoint, folder, None, image_heads)

    return read_towers


def test_a_checkpoint_is_read_from_its_file(folder):
    torch.save(make_clip_weights(), folder / "best.pt")
    checkpoint = read_checkpoint(folder / "best.pt")
    towers = recognise(checkpoint.weights).read(checkpoint, folder, None, None)
    assert (towers.family, towers.geometry.rule, towers.geometry.crop_px) == ("chexzero", "pad-square", 320)
    assert (towers.prompt_average, towers.logit_scale) == ("after-normalisation", 1.0)
    assert towers.provenance["checkpoint_sha256"] == checkpoint.sha256
    grey = torch.randint(0, 256, (2, 1, 320, 320), dtype=torch.uint8)
    with torch.no_grad():
        assert towers.image(grey).shape == (2, EMBEDDING)
        assert torch.equal(towers.image(grey), towers.image.project(towers.image.static(grey)))


def test_what_follows_the_end_of_a_prompt_never_counts(read):
    towers = read(make_clip_weights())
    end = towers.sizes["vocabulary"] - 1
    ids = torch.tensor([[end - 1, 5, 6, end, 0, 0, 0]])
    with torch.no_grad():
        padded, short = towers.text(ids, None), towers.text(ids[:, :4], None)
        other = towers.text(torch.tensor([[end - 1, 6, 5, end]]), None)
    torch.testing.assert_close(padded, short)
    assert not torch.allclose(short, other)


def test_openai_s_own_files_are_read_with_their_pixels_and_their_scale(read):
    weights = make_clip_weights() | {"logit_scale": torch.tensor(math.log(100))}
    towers = read(weights, preprocessing="openai")
    assert (towers.family, towers.geometry.rule, towers.geometry.crop_px) == (OPENAI_CLIP.name, "shorter-side", 96)
    assert towers.logit_scale == pytest.approx(100)
    white = towers.image.scaling(torch.full((1, 1, 96, 96), 255, dtype=torch.uint8))
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    torch.testing.assert_close(white[0, :, 0, 0], (1 - mean) / std)


@pytest.mark.parametrize(
    ("patch_px", "scale", "formats", "words"),
    [
        (16, 1.0, ("float32",), "patches of 16 pixels"),
        (32, 1.0, ("float16", "float32"), "half precision"),
        (32, math.log(100), ("float32",), "logit scale of 100"),
        (32, float(torch.tensor(math.log(100)).half()), ("float32",), "logit scale of 100"),
    ],
)
def test_a_file_that_may_be_openai_s_is_asked_about(read, patch_px, scale, formats, words):
    weights = make_clip_weights(patch_px) | {"logit_scale": torch.tensor(scale)}
    with pytest.raises(CheckpointError, match=f"{words}.*say which with --preprocessing chexzero or --preprocessing o"):
        read(weights, formats=formats)
    assert read(weights, formats=formats, preprocessing="chexzero").family == "chexzero"


def test_an_unknown_preprocessing_is_refused(read):
    with pytest.raises(CheckpointError, match="unknown preprocessing; known: chexzero, openai"):
        read(make_clip_weights(), preprocessing="other")


@pytest.mark.parametrize("name", sorted(make_clip_weights()))
def test_every_tensor_that_is_renamed_is_told(read, name):
    weights = make_clip_weights()
    weights[f"{name}_renamed"] = weights.pop(name)
    with pytest.raises(CheckpointError) as told:
        read(weights)
    assert name in str(told.value) and f"{name}_renamed" in str(told.value)


def test_extra_and_misshapen_tensors_are_told(read):
    weights = make_clip_weights()
    weights["input_resolution"] = torch.tensor(224)
    weights["visual.ln_post.bias"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r"unexpected 1 \(input_resolution\); of another shape 1 \(visual.ln"):
        read(weights)


def test_a_position_embedding_of_no_square_is_refused(read):
    weights = make_clip_weights() | {"visual.positional_embedding": torch.zeros(12, 128)}
    with pytest.raises(CheckpointError, match="visual.positional_embedding is not of a square"):
        read(weights)


def test_a_clip_with_a_resnet_is_refused(read):
    weights = make_clip_weights() | {"visual.layer1.0.conv1.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="CLIP with a ResNet"):
        read(weights)


def test_heads_are_as_published_or_as_stated(read):
    weights = make_clip_weights()
    assert read(weights).sizes["image_heads"] == 2
    assert read(weights, image_heads=4).sizes["image_heads"] == 4
    assert read(weights, text_heads="8").sizes["text_heads"] == 8
    with pytest.raises(CheckpointError, match="4 image heads, not 2"):
        CHEXZERO.read(Checkpoint(weights, {"image_heads": "4"}), None, None, 2)
    with pytest.raises(CheckpointError, match="3 heads do not divide the image tower's width 128"):
        read(weights, image_heads=3)
    with pytest.raises(CheckpointError, match="text tower is 32 wide.*give --text-heads"):
        read(make_clip_weights(width=32), image_heads=1)


def test_a_scripted_file_is_refused(folder):
    with zipfile.ZipFile(folder / "ViT-B-32.pt", "w") as archive:  # as torch.jit.save writes one
        for name in ("data.pkl", "code/__torch__.py", "constants.pkl"):
            archive.writestr(f"ViT-B-32/{name}", b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError, match="scripted model, as OpenAI publishes CLIP; save its plain state_"):
            read_checkpoint(folder / "ViT-B-32.pt")


def test_safetensors_state_what_the_tensors_do_not(folder):
    stated = {"text_heads": "4", "preprocessing": "openai", "intensity_profile": "voi-v1"}
    save_file(make_clip_weights(), folder / "some.safetensors", stated)
    checkpoint = read_checkpoint(folder / "some.safetensors")
    towers = CHEXZERO.read(checkpoint, folder, None, None)
    assert (towers.sizes["text_heads"], towers.family, towers.intensity_profile) == (4, "openai-clip", "voi-v1")
    assert CHEXZERO.read(replace(checkpoint, metadata={}), folder, None, None).intensity_profile == "mimic-jpg-v1"


@pytest.mark.parametrize("patch_px", [32, 16])
def test_the_published_sizes_have_the_published_number_of_weights(patch_px):
    sizes = ClipSizes(
        TransformerSizes(768, 12, 12, 3072),
        TransformerSizes(512, 12, 8, 2048),
        224 // patch_px,
        patch_px,
        77,
        49408,
        512,
    )
    with torch.device("meta"):
        model = ClipModel(sizes, PixelScaling([0.0] * 3, [1.0] * 3))
    assert sum(tensor.numel() for tensor in model.parameters()) == PUBLISHED_PARAMETERS[patch_px]


def test_the_resize_matrix_is_bicubic_with_repeated_edges():
    matrix = make_bicubic_matrix(320, 224)
    torch.testing.assert_close(matrix.sum(1), torch.ones(224, dtype=torch.float64), rtol=0, atol=1e-6)
    assert ((matrix != 0).sum(1) <= 4).all()
    # Row 0 stands at 0.2143 of the way from pixel 0 to 1; pixel -1 is pixel 0 again. a = -0.75, Keys 1981.
    t, a = 0.5 * 320 / 224 - 0.5, -0.75
    near = [(a + 2) * d**3 - (a + 3) * d**2 + 1 for d in (t, 1 - t)]
    far = [a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a for d in (1 + t, 2 - t)]
    expected = torch.tensor([far[0] + near[0], near[1], far[1]], dtype=torch.float64)
    torch.testing.assert_close(matrix[0, :3], expected, rtol=0, atol=1e-6)
