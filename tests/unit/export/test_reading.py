"""A checkpoint's tensors tell its family, and that how it is exported; what does not fit is one line, nothing stays."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from fakes.biovil import make_image_weights, make_text_config, make_text_weights, write_text_folder
from fakes.clip import make_clip_weights, write_merges
from fakes.open_clip import make_open_clip_weights, write_open_clip_folder
from safetensors.torch import save_file

from alta_export.cli import main
from alta_export.families import registry
from alta_export.families.family_export import FamilyExport
from alta_export.options import ExportOptions
from alta_export.reading import read_source
from alta_sdk import CheckpointError, ExportError


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with every family's files under their published names, narrow."""
    folder = tmp_path_factory.mktemp("published")
    for name, file in (("biovil-t", "biovil_t_image_model_proj_size_128.pt"), ("biovil", "biovil_image.pt")):
        torch.save(make_image_weights(name), folder / file)
    write_text_folder(folder / "BiomedVLP-BioViL-T", make_text_weights(make_text_config()), make_text_config())
    (folder / "chexzero").mkdir()
    torch.save(make_clip_weights(), folder / "chexzero" / "best.pt")
    write_merges(folder / "chexzero")
    write_open_clip_folder(folder / "BiomedCLIP")
    return folder


@pytest.fixture
def read(published, tmp_path):
    """Read a source of files below the published folder."""

    def make(checkpoint, text_model=None, **changes):
        folder = None if text_model is None else published / text_model
        options = ExportOptions(published / checkpoint, folder, tmp_path / "x.alta", **changes)
        return read_source(options)

    return make


@pytest.fixture
def refuse(tmp_path):
    """Run the command, which fails, and return its one line; nothing is left."""
    (tmp_path / "out").mkdir()

    def run(checkpoint, *arguments, kind="CheckpointError"):
        given = ["--checkpoint", checkpoint, "--output", tmp_path / "out" / "x.alta", *arguments]
        result = CliRunner().invoke(main, [str(one) for one in given])
        assert result.exit_code == 1, result.output
        *_, line = result.stderr.strip().splitlines()
        assert line.startswith(f"{kind}: ") and line.count("Error") == 1
        assert "Traceback" not in result.stderr and not list((tmp_path / "out").iterdir())
        return line

    return run


TEXT = "BiomedVLP-BioViL-T"
SOURCES = {
    "biovil-t": ("biovil_t_image_model_proj_size_128.pt", TEXT, "minmax-v1", 448),
    "biovil": ("biovil_image.pt", TEXT, "minmax-v1", 480),
    "chexzero": ("chexzero/best.pt", None, "mimic-jpg-v1", 320),
    "open-clip": ("BiomedCLIP", None, "voi-v1", 96),
}


@pytest.mark.parametrize("family", SOURCES)
def test_the_tensors_tell_the_family_and_it_the_rest(read, family):
    checkpoint, text_model, profile, px = SOURCES[family]
    source, options = read(checkpoint, text_model)
    assert (source.family.name, source.towers.family, options.intensity_profile) == (family, family, profile)
    assert source.towers.geometry.crop_px == px
    assert options.fusion_mode == source.towers.default_fusion_mode


def test_alta_is_read_as_ever(export_options):
    source, options = read_source(export_options())
    assert (source.family.name, options.fusion_mode, options.intensity_profile) == ("alta", "frontal", "published-v1")
    with pytest.raises(ExportError, match="no text-model folder beside the checkpoint: give --text-model"):
        read_source(
            replace(export_options(checkpoint=_alone(options.checkpoint, options.output.parent)), text_model=None)
        )


def _alone(checkpoint, folder):
    (folder / "alone").mkdir()
    return Path(shutil.copy(checkpoint, folder / "alone"))


def test_a_weights_file_of_open_clip_has_its_folder(read):
    source, _ = read("BiomedCLIP/open_clip_pytorch_model.bin")
    assert source.family.name == "open-clip"


def test_options_are_statements_of_the_checkpoint(read, published, tmp_path):
    source, _ = read("chexzero/best.pt", preprocessing="openai", text_heads=2)
    assert (source.family.name, source.towers.sizes["text_heads"]) == ("openai-clip", 2)
    assert not source.family.asking.logit_scale_note and source.towers.logit_scale != 1.0
    stated = tmp_path / "stated.safetensors"
    save_file(make_clip_weights(), stated, {"text_heads": "1"})
    with pytest.raises(CheckpointError, match="states another text heads: leave --text-heads out"):
        read(stated, text_heads=2, tokenizer=published / "chexzero" / "bpe_simple_vocab_16e6.txt.gz")


@pytest.fixture
def fewer(monkeypatch):
    """BioViL-T as a family that is exported as FP32 alone, for onnxruntime and OpenVINO."""
    found = registry.EXPORTS["biovil-t"]
    monkeypatch.setitem(
        registry.EXPORTS, "biovil-t", FamilyExport(found.merge, engines=("onnx", "openvino"), precisions=("fp32",))
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"fusion_mode": "published"},
            "--fusion-mode published is none of the family biovil-t: choose prior or frontal",
        ),
        ({"precision": "int8"}, "--precision int8 is not supported for BioViL-T by this version; choose fp32"),
        ({"precision": "bf16"}, "--precision bf16 is not supported for BioViL-T by this version; choose fp32"),
        ({"engine": "trt"}, "--engine trt is not supported for BioViL-T by this version; choose onnx or openvino"),
    ],
)
def test_what_a_family_cannot_be_yet_is_refused(read, fewer, changes, told):
    with pytest.raises(ExportError) as caught:
        read(*SOURCES["biovil-t"][:2], **changes)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"text_heads": 2}, "--text-heads is of no use for BioViL-T: leave it out"),
        ({"preprocessing": "openai"}, "--preprocessing is of no use for BioViL-T: leave it out"),
        ({"tokenizer": Path("x.gz")}, "--tokenizer is of no use for BioViL-T: leave it out"),
    ],
)
def test_what_others_could_say_of_their_files_is_refused(read, changes, told):
    with pytest.raises(CheckpointError) as caught:
        read(*SOURCES["biovil-t"][:2], **changes)
    assert str(caught.value) == told


def test_a_profile_may_be_chosen_but_not_against_the_checkpoint(read, tmp_path):
    _, options = read(*SOURCES["biovil-t"][:2], intensity_profile="voi-v1")
    assert options.intensity_profile == "voi-v1"
    stated = tmp_path / "stated.safetensors"
    save_file(make_image_weights(), stated, {"intensity_profile": "published-v1"})
    with pytest.raises(ExportError, match="cannot read by voi-v1"):
        read(stated, TEXT, intensity_profile="voi-v1")


def test_another_familys_text_folder(published, refuse):
    for checkpoint in ("biovil_t_image_model_proj_size_128.pt", "biovil_image.pt"):
        assert "BiomedCLIP: config.json not found" in refuse(
            published / checkpoint, "--text-model", published / "BiomedCLIP"
        )
    told = refuse(published / "BiomedCLIP", "--text-model", published / TEXT)
    assert "open_clip_config.json not found" in told
    told = refuse(published / "chexzero" / "best.pt", "--text-model", published / TEXT)
    assert "bpe_simple_vocab_16e6.txt.gz not found" in told


def test_a_text_model_of_another_space(published, refuse, tmp_path):
    config = make_text_config()
    other = write_text_folder(tmp_path / "other", make_text_weights(config, embedding=10), config)
    told = refuse(published / SOURCES["biovil-t"][0], "--text-model", other)
    assert "other projects to 10 numbers, the image model to 12" in told


def test_none_of_what_a_family_needs(published, refuse, tmp_path):
    assert "give it as --text-model" in refuse(published / SOURCES["biovil-t"][0])
    torch.save(make_clip_weights(), tmp_path / "alone.pt")
    assert "give --tokenizer" in refuse(tmp_path / "alone.pt")
    torch.save(make_open_clip_weights(), tmp_path / "weights.bin")
    assert "open_clip_config.json not found" in refuse(tmp_path / "weights.bin")


@pytest.mark.parametrize("family", SOURCES)
def test_a_truncated_file(published, refuse, tmp_path, family):
    copied = shutil.copytree(published, tmp_path / "copied")
    checkpoint, text_model, *_ = SOURCES[family]
    file = copied / checkpoint
    file = file / "open_clip_pytorch_model.bin" if file.is_dir() else file
    file.write_bytes(file.read_bytes()[:-2000])
    more = [] if text_model is None else ["--text-model", copied / text_model]
    assert "damaged" in refuse(copied / checkpoint, *more)


@pytest.mark.parametrize("change", ["renamed", "extra", "misshapen", "missing"])
@pytest.mark.parametrize("family", SOURCES)
def test_a_tensor_that_does_not_fit_is_named(published, refuse, tmp_path, family, change):
    copied = shutil.copytree(published, tmp_path / "copied")
    checkpoint, text_model, *_ = SOURCES[family]
    file = copied / checkpoint
    file = file / "open_clip_pytorch_model.bin" if file.is_dir() else file
    weights = torch.load(file, weights_only=True)
    name = next(
        name for name in weights if name.endswith(("layer2.1.conv2.weight", "1.mlp.c_fc.weight", "1.mlp.fc2.bias"))
    )
    if change == "renamed":
        weights["some.other.weight"] = weights.pop(name)
    elif change == "extra":
        weights[name := "some.other.weight"] = torch.zeros(3)
    elif change == "missing":
        del weights[name]
    else:
        weights[name] = weights[name][:-1].clone()
    torch.save(weights, file)
    more = [] if text_model is None else ["--text-model", copied / text_model]
    told = refuse(copied / checkpoint, *more)
    assert name in told and ("some.other.weight" in told) == (change in ("renamed", "extra"))


def test_a_checkpoint_of_no_family_or_of_two(refuse, tmp_path):
    torch.save({"some.weight": torch.zeros(3)}, tmp_path / "unknown.pt")
    told = refuse(tmp_path / "unknown.pt", "--text-model", tmp_path)
    assert "no family that is known; looked for: alta (" in told and "biovil-t (encoder.encoder.*" in told
    torch.save({**make_image_weights(), **make_clip_weights()}, tmp_path / "two.pt")
    assert "of several families at once" in refuse(tmp_path / "two.pt", "--text-model", tmp_path)


def test_a_folder_without_weights_and_a_file_that_is_not_there(refuse, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "folder empty holds no weights" in refuse(tmp_path / "empty")
    assert "checkpoint none.pt not found" in refuse(tmp_path / "none.pt")


def test_a_file_that_could_be_openais_or_chexzeros(published, refuse, tmp_path):
    copied = shutil.copytree(published / "chexzero", tmp_path / "copied")
    torch.save(make_clip_weights(patch_px=16, grid=6), copied / "best.pt")
    told = refuse(copied / "best.pt")
    assert "--preprocessing chexzero or --preprocessing openai" in told
