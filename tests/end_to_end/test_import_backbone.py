"""import_backbone.py: a DINOv2-style ViT of other people becomes a backbone, checked before anything is written."""

import csv
import json
import zipfile

import numpy as np
import pytest
import torch
from conftest import run_training_command
from fakes.dinov2 import make_tower, write_hugging_face, write_meta, write_onnx
from PIL import Image
from safetensors.torch import load_file, save_file

from alta_sdk.engine.bundle import hash_file
from alta_sdk.study.geometry import ALTA_GEOMETRY
from alta_training.families import dinov2_check
from alta_training.families.checkpoint import read_checkpoint
from alta_training.families.dinov2 import build_tower, encode_cls
from alta_training.families.storage import round_to_int8

SPLITS = {"train": 6, "test": 3}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("radiographs")
    (folder / "images").mkdir()
    rng = np.random.default_rng(8)
    rows = []
    for split, count in SPLITS.items():
        for number in range(count):
            grey = Image.fromarray(rng.integers(0, 255, (12, 10), dtype=np.uint8)).resize((300, 280))
            grey.save(folder / "images" / f"{split}{number}.png")
            rows.append([f"{split}{number}.png", split])
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["image", "split"], *rows])
    return folder / "metadata.csv"


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    model = make_tower(seed=6)
    graph = write_onnx(model, folder / "tower.onnx")
    with zipfile.ZipFile(folder / "wheel.whl", "w") as archive:
        archive.write(graph, "package/tower.onnx")
    return {
        "Hugging Face": write_hugging_face(model, folder / "hugging-face"),
        "Meta": write_meta(model, folder),
        "ONNX": graph,
        "wheel": folder / "wheel.whl",
    }


def import_backbone(source, output, *options):
    return run_training_command("import_backbone", source, "--output", output, *options)


@pytest.mark.parametrize("form", ["Hugging Face", "Meta", "ONNX", "wheel"])
def test_a_backbone_is_written_with_where_it_is_from_and_how_it_was_checked(form, forms, table, tmp_path):
    output = tmp_path / "tower.safetensors"
    told = ("--source-name", "A small tower", "--licence", "Apache-2.0, as its card says")
    heads = ("--image-heads", 4)
    set_norm = ("--set-norm", table, "--split", "train")
    result = import_backbone(forms[form], output, "--depth", 2, *set_norm, *told, *heads)
    assert result.exit_code == 0, result.output
    assert "heads: 4 (--image-heads)" in result.stderr and "(ImageNet's)" in result.stderr
    assert "Not for clinical use" in result.stderr
    written = read_checkpoint(output)
    expected = {
        "image_heads": "4",
        "image_depth": "2",
        "source_name": "A small tower",
        "source_sha256": hash_file(forms[form]),
        "source_depth": "3",
        "licence": "Apache-2.0, as its card says",
        "last_norm": "set on 6 radiographs of metadata.csv, split train",
        "check_radiographs": "of metadata.csv, split train",
    }
    assert {key: written.metadata.get(key) for key in expected} == expected
    assert written.metadata["source_file"].startswith(forms[form].name)
    assert "on 6 radiographs" in written.metadata["check"] and written.metadata["check"] in result.stderr
    images = [np.array(Image.open(table.parent / "images" / f"train{n}.png")) for n in range(SPLITS["train"])]
    with torch.inference_mode():
        grey = torch.from_numpy(np.stack([ALTA_GEOMETRY.to_pixels(image) for image in images]))
        cls = encode_cls(build_tower(written.weights, 4), grey)
    torch.testing.assert_close(cls.mean(0), torch.zeros(32), atol=1e-4, rtol=0)
    torch.testing.assert_close(cls.std(0), torch.ones(32), atol=1e-4, rtol=0)


def test_pooling_and_rounding_come_before_the_last_norm_is_set(forms, table, tmp_path):
    plain, rounded = tmp_path / "plain.safetensors", tmp_path / "rounded.safetensors"
    set_norm = ("--set-norm", table, "--split", "train", "--depth", 2, "--image-heads", 4)
    assert import_backbone(forms["Meta"], plain, *set_norm).exit_code == 0
    result = import_backbone(forms["Meta"], rounded, *set_norm, "--pool", "--round-int8")
    assert result.exit_code == 0, result.output
    stored, before, after = load_file(rounded), read_checkpoint(plain), read_checkpoint(rounded)
    assert after.metadata["pooling"].startswith("one block more") and before.metadata["pooling"] == "none"
    assert after.metadata["blocks_storage"].startswith("int8") and after.metadata["check"] == before.metadata["check"]
    products = [name for name in stored if stored[name].dtype == torch.int8]
    assert len(products) == 3 * 4 and all(name.startswith("blocks.") for name in products)
    first = "blocks.0.mlp.fc1.weight"
    assert torch.equal(after.weights[first], round_to_int8(before.weights[first]))
    images = [np.array(Image.open(table.parent / "images" / f"train{n}.png")) for n in range(SPLITS["train"])]
    with torch.inference_mode():
        grey = torch.from_numpy(np.stack([ALTA_GEOMETRY.to_pixels(image) for image in images]))
        cls = encode_cls(build_tower(after.weights, 4), grey)
    torch.testing.assert_close(cls.std(0), torch.ones(32), atol=1e-4, rtol=0)


@pytest.mark.parametrize("form", ["Hugging Face", "ONNX"])
def test_the_same_command_writes_the_same_bytes(form, forms, table, tmp_path):
    for name in ("one", "two"):
        result = import_backbone(forms[form], tmp_path / name, "--set-norm", table)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_without_a_table_it_is_checked_on_synthetic_radiographs_and_says_so(forms, tmp_path):
    output = tmp_path / "tower.safetensors"
    result = import_backbone(forms["ONNX"], output)
    assert result.exit_code == 0, result.output
    assert "heads: 4 (the graph)" in result.stderr and "synthetic, seed 0" in result.stderr
    written = read_checkpoint(output)
    assert written.metadata["check_radiographs"] == "synthetic, seed 0"
    assert written.metadata["last_norm"] == "the source's" and written.metadata["licence"] == "not stated"
    source = load_file(forms["Hugging Face"])
    assert torch.equal(written.weights["norm.weight"], source["layernorm.weight"])


def test_statistics_are_the_options_then_the_files_then_imagenets(forms, tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(forms["Hugging Face"].read_bytes())
    stated = {"image_mean": [0.53, 0.53, 0.53], "image_std": [0.26, 0.26, 0.26]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated), encoding="utf-8")
    heads = ("--image-heads", 4)
    by_file = import_backbone(file, tmp_path / "file.safetensors", *heads)
    assert "deviation (0.26, 0.26, 0.26) (preprocessor_config.json)" in by_file.stderr
    by_option = import_backbone(file, tmp_path / "option.safetensors", *heads, "--mean", 0.1, 0.2, 0.3)
    assert "mean (0.1, 0.2, 0.3), deviation (0.26, 0.26, 0.26) (options)" in by_option.stderr
    kernels = {
        name: read_checkpoint(tmp_path / f"{name}.safetensors").weights["patch_embed.proj.bias"]
        for name in ("file", "option")
    }
    assert not torch.equal(kernels["file"], kernels["option"])


def assert_refused(result, error, said, folder):
    assert result.exit_code == 1, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"{error}: ") and said in last, result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    assert list(folder.iterdir()) == [], "something was left"


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (("--depth", 4), "CheckpointError", "source has 3 blocks, not 4"),
        (("--image-heads", 5), "CheckpointError", "5 heads"),
        (("--image-heads", 8), "CheckpointError", "not the source's"),  # the graph has its own
        (("--std", 0, 1, 1), "CheckpointError", "three deviations above 0"),
        (("--split", "train"), "TrainingError", "--split is of a table"),
        (("--radiographs", "absent.csv"), "TrainingError", "absent.csv"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, error, said, forms, tmp_path):
    assert_refused(import_backbone(forms["ONNX"], tmp_path / "x.safetensors", *options), error, said, tmp_path)


def test_tables_that_do_not_do_are_refused(forms, table, tmp_path):
    for options, error, said in (
        (("--radiographs", table, "--split", "test"), "CheckpointError", "at least 4 radiographs: got 3"),
        (("--set-norm", table, "--split", "val"), "TrainingError", "no row of split val"),
    ):
        result = import_backbone(forms["ONNX"], tmp_path / "x.safetensors", *options)
        assert_refused(result, error, said, tmp_path)


def test_images_that_are_absent_or_damaged_are_refused(forms, tmp_path):
    folder, out = tmp_path / "table", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    (folder / "t.csv").write_text("image\n" + "".join(f"{n}.png\n" for n in range(5)), encoding="utf-8")
    refused = import_backbone(forms["ONNX"], out / "x.safetensors", "--set-norm", folder / "t.csv")
    assert_refused(refused, "TrainingError", "5 of 5 image files are not there", out)
    for number in range(5):
        (folder / f"{number}.png").write_bytes(b"no image")
    refused = import_backbone(forms["ONNX"], out / "x.safetensors", "--set-norm", folder / "t.csv")
    assert refused.exit_code == 1 and "Traceback" not in refused.stderr
    assert list(out.iterdir()) == []


def test_sources_that_do_not_do_are_refused(forms, tmp_path):
    given, out = tmp_path / "given", tmp_path / "out"
    given.mkdir()
    out.mkdir()
    (given / "cut.onnx").write_bytes(forms["ONNX"].read_bytes()[:5000])
    (given / "words.whl").write_text("words", encoding="utf-8")
    registers = {**load_file(forms["Meta"]), "register_tokens": torch.ones(1, 4, 32)}
    save_file(registers, given / "registers.safetensors")
    for name, said in (
        ("absent.onnx", "not found"),
        ("cut.onnx", "damaged"),
        ("words.whl", "damaged"),
        ("registers.safetensors", "register tokens"),
    ):
        assert_refused(import_backbone(given / name, out / "x.safetensors"), "CheckpointError", said, out)


def test_a_tower_that_is_not_the_sources_is_not_written(forms, tmp_path, monkeypatch):
    monkeypatch.setattr(dinov2_check, "LIMIT", 1e-12)
    result = import_backbone(forms["ONNX"], tmp_path / "x.safetensors")
    assert_refused(result, "CheckpointError", "nothing was written", tmp_path)


def test_what_is_there_is_replaced_only_when_asked(forms, tmp_path):
    output = tmp_path / "tower.safetensors"
    output.write_text("mine", encoding="utf-8")
    refused = import_backbone(forms["ONNX"], output)
    assert refused.exit_code == 1 and "--overwrite" in refused.stderr
    assert output.read_text(encoding="utf-8") == "mine"
    foreign = import_backbone(forms["ONNX"], output, "--overwrite")
    assert foreign.exit_code == 1 and "replaces only what it wrote" in foreign.stderr
    assert output.read_text(encoding="utf-8") == "mine"
    output.write_bytes(b"")
    assert import_backbone(forms["ONNX"], output, "--overwrite").exit_code == 0
    assert import_backbone(forms["ONNX"], output, "--overwrite").exit_code == 0, "over its own"
    assert read_checkpoint(output).metadata["image_heads"] == "4"
    refused = import_backbone(forms["ONNX"], tmp_path / "absent" / "x.safetensors")
    assert refused.exit_code == 1 and "parent folder does not exist" in refused.stderr
