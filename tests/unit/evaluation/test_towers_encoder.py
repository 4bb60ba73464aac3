"""Checkpoints of every family behind the face of all encoders: recognised, asked and cut as their families are."""

import csv
import json

import numpy as np
import pytest
import torch
from conftest import run_training_command
from fakes.biovil import make_image_weights, make_text_config, make_text_weights, write_text_folder
from fakes.clip import make_clip_weights, write_merges
from fakes.open_clip import write_open_clip_folder
from PIL import Image

from alta_sdk import CheckpointError, TrainingError
from alta_training.evaluation.encoders import CheckpointEncoder, open_encoder
from alta_training.evaluation.towers_encoder import TowersEncoder
from alta_training.families.checkpoint import read_checkpoint
from alta_training.families.registry import recognise

LONG = "no edema " * 60


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    for number in range(6):
        Image.fromarray(rng.integers(0, 255, (60, 48), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def biovil_t(tmp_path_factory):
    """The image file, with its text model beside it."""
    folder = tmp_path_factory.mktemp("biovil")
    torch.save(make_image_weights(), folder / "biovil_t_image_model_proj_size_128.pt")
    config = make_text_config()
    write_text_folder(folder / "text-model", make_text_weights(config), config)
    return folder / "biovil_t_image_model_proj_size_128.pt"


@pytest.fixture(scope="module")
def chexzero(tmp_path_factory):
    """A file, with CLIP's merges beside it."""
    folder = tmp_path_factory.mktemp("chexzero")
    torch.save(make_clip_weights(), folder / "best.pt")
    write_merges(folder)
    return folder / "best.pt"


@pytest.fixture(scope="module")
def biomedclip(tmp_path_factory):
    return write_open_clip_folder(tmp_path_factory.mktemp("open_clip") / "BiomedCLIP-1.0")


def test_each_family_is_measured_with_what_lies_beside_it(biovil_t, chexzero, biomedclip, images):
    for path, name, pair in (
        (biovil_t, "biovil_t_image_model_proj_size_128", "There is no {}"),
        (chexzero, "best", "no {}"),
        (biomedclip, "BiomedCLIP-1.0", "There is no {}"),
    ):
        encoder = open_encoder(path)
        assert isinstance(encoder, TowersEncoder)
        assert (encoder.name, encoder.asking.prompt_pair[1]) == (name, pair)
        vectors = encoder.embed_radiographs([images / "0.png", images / "1.png"])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
        assert encoder.project_texts(["edema", LONG]).shape == vectors.shape  # a report is cut


def test_a_family_reads_radiographs_by_its_own_profile_and_geometry(biovil_t, images, tmp_path):
    dim = tmp_path / "dim.png"
    with Image.open(images / "0.png") as image:
        grey = np.asarray(image)
    Image.fromarray(np.where(grey > 127, 80, 20).astype(np.uint8)).save(dim)
    Image.fromarray(np.where(grey > 127, 255, 0).astype(np.uint8)).save(tmp_path / "stretched.png")
    encoder = open_encoder(biovil_t)
    one, other = encoder.embed_radiographs([dim, tmp_path / "stretched.png"])
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_altas_checkpoint_is_measured_as_ever(checkpoint_folder, tmp_path):
    assert isinstance(open_encoder(checkpoint_folder / "model.safetensors"), CheckpointEncoder)
    (tmp_path / "alone.safetensors").write_bytes((checkpoint_folder / "model.safetensors").read_bytes())
    with pytest.raises(TrainingError, match="a checkpoint needs its text model: give --text-model"):
        open_encoder(tmp_path / "alone.safetensors")


def test_what_a_family_has_no_use_for_is_refused(checkpoint_folder, chexzero, biovil_t, biomedclip, tmp_path):
    refused = [
        (checkpoint_folder / "model.safetensors", {"tokenizer": tmp_path}, "--tokenizer is of no use for ALTA"),
        (biovil_t, {"text_heads": 2}, "--text-heads is of no use for BioViL-T"),
        (biomedclip, {"preprocessing": "openai"}, "--preprocessing is of no use for BiomedCLIP"),
        (chexzero, {"tokenizer": tmp_path / "none.gz"}, "merges file .* not found"),
    ]
    for path, given, message in refused:
        with pytest.raises(CheckpointError, match=message):
            open_encoder(path, **given)
    (tmp_path / "moved.pt").write_bytes(biovil_t.read_bytes())
    with pytest.raises(CheckpointError, match="text model in a folder of its own: give it as --text-model"):
        open_encoder(tmp_path / "moved.pt")
    torch.save({"other.weight": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="of no family that is known; looked for: alta"):
        open_encoder(tmp_path / "other.pt")


def test_a_folder_of_another_kind_and_options_beside_an_engine_are_refused(bundle, biovil_t, tmp_path):
    with pytest.raises(TrainingError, match=r"is no engine \(manifest.json\) and no model of open_clip \(open_"):
        open_encoder(biovil_t.parent)
    for given in ({"text_model": tmp_path}, {"image_heads": 2}, {"tokenizer": tmp_path}, {"preprocessing": "openai"}):
        with pytest.raises(TrainingError, match="an engine has its text model, .* in it: name nothing beside it"):
            open_encoder(bundle, **given)


def test_whose_pixels_a_clip_reads_is_said_to_it(chexzero):
    assert open_encoder(chexzero, preprocessing="openai", text_heads=1).asking.logit_scale_note == ""
    assert open_encoder(chexzero).asking.logit_scale_note
    assert recognise(read_checkpoint(chexzero).weights).name == "chexzero"


@pytest.fixture(scope="module")
def rsna(images):
    lines = [f"{number}.png {number % 2}\n" for number in range(6)]
    for name in ("test_list.txt", "val_list.txt"):
        (images / name).write_text("".join(lines), encoding="utf-8")
    return images


def run_evaluate(*arguments):
    result = run_training_command("evaluate", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["figures"]


def test_evaluate_measures_biovil_by_its_pair_and_by_its_published_ensemble(biovil_t, rsna):
    figures = run_evaluate(biovil_t, "--protocol", "rsna", "--data", rsna)
    assert [part["protocol"] for part in figures] == ["RSNA Pneumonia", "RSNA Pneumonia, rsna-ensemble"]


def test_evaluate_takes_what_chexzero_needs(chexzero, images, tmp_path):
    table = tmp_path / "metadata.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        found = [[f"{n}.png", n, "PA", "Edema" if n % 2 else "No Finding", "test"] for n in range(6)]
        csv.writer(file).writerows([["image", "patient", "view", "findings", "split"], *found])
    given = ["--protocol", "labelled", "--data", table, "--image-root", images, "--finding", "edema"]
    merges = chexzero.parent / "bpe_simple_vocab_16e6.txt.gz"
    (figures,) = run_evaluate(chexzero, *given, "--tokenizer", merges, "--text-heads", 1, "--preprocessing", "chexzero")
    assert (figures["radiographs"], figures["positive"]) == (6, 3)
