"""Case model-over-a-folder: --overwrite and a wrong path cost nobody a folder, nor a file in one's own."""

import json
import os
import shutil

import pytest
from conftest import ROOT, export_quietly, run_training_command

from alta_export.options import check_options
from alta_sdk import ExportError
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.engine.own_files import list_bundle_files
from alta_sdk.files import folders
from alta_sdk.files.folders import new_folder

DEMO = ROOT / "examples" / "models" / "demo"


def take_picture(folder):
    return {
        str(entry.relative_to(folder)): os.readlink(entry)
        if entry.is_symlink()
        else entry.read_bytes()
        if entry.is_file()
        else None
        for entry in folder.rglob("*")
    }


def publish(output, tmp_path):
    run = ("publish", tmp_path / "run", "--output", output, "--data", tmp_path / "metadata.csv", "--overwrite")
    return run_training_command(*run)


def make_published(folder):
    shutil.copytree(DEMO, folder)
    (folder / "demo.safetensors").rename(folder / f"{folder.name}.safetensors")


def add_document(folder):
    (folder / "Documents").mkdir()
    (folder / "Documents" / "thesis.txt").write_text("years of work", encoding="utf-8")


def add_hidden(folder):
    (folder / ".notes").write_text("mine", encoding="utf-8")


def add_beside_the_words(folder):
    (folder / "text-model").mkdir(exist_ok=True)
    (folder / "text-model" / "letter.txt").write_text("mine", encoding="utf-8")


def add_link(folder):
    (folder / "latest").symlink_to(".")


def add_empty_folder(folder):
    (folder / "planned").mkdir()


ADDED = [add_document, add_hidden, add_beside_the_words, add_link, add_empty_folder]


def make_home(folder):
    folder.mkdir()
    (folder / "README.md").write_text("# My home", encoding="utf-8")


def make_weights_of_others(folder):
    """Weights of the right name by another program: no statement of ours is in them."""
    folder.mkdir()
    (folder / f"{folder.name}.safetensors").write_bytes((8).to_bytes(8, "little") + b"{}      ")


@pytest.mark.parametrize("make", [make_home, make_weights_of_others])
@pytest.mark.parametrize("add", [None, add_document])
def test_publish_refuses_a_folder_that_is_no_published_model(make, add, tmp_path):
    folder = tmp_path / "jane"
    make(folder)
    if add:
        add(folder)
    before = take_picture(folder)
    result = publish(folder, tmp_path)
    assert result.exit_code == 1 and "replaces only what alta-train publish wrote" in result.stderr
    assert take_picture(folder) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["jane"]


@pytest.mark.parametrize("add", ADDED)
def test_publish_refuses_its_own_folder_with_something_of_others_in_it(add, tmp_path):
    folder = tmp_path / "model"
    make_published(folder)
    add(folder)
    before = take_picture(folder)
    result = publish(folder, tmp_path)
    assert result.exit_code == 1 and "replaces only what alta-train publish wrote" in result.stderr
    assert take_picture(folder) == before


def test_publish_goes_on_with_its_own_folder_alone(tmp_path):
    make_published(tmp_path / "model")
    result = publish(tmp_path / "model", tmp_path)
    assert result.exit_code == 1 and "give a folder of alta-train fit" in result.stderr, (
        "the folder is not what was refused"
    )


def test_publish_never_writes_over_its_run_or_its_table(tmp_path):
    make_published(tmp_path / "run")
    result = publish(tmp_path / "run", tmp_path)
    assert result.exit_code == 1 and "over what is read" in result.stderr
    assert publish(tmp_path, tmp_path).exit_code == 1 and (tmp_path / "run").is_dir()


@pytest.mark.parametrize("add", ADDED)
def test_an_export_refuses_its_own_bundle_with_something_of_others_in_it(add, bundle, export_options, tmp_path):
    path = shutil.copytree(bundle, tmp_path / "x.alta")
    add(path)
    before = take_picture(path)
    with pytest.raises(ExportError, match="replaces only what alta-export wrote"):
        check_options(export_options(output=path, overwrite=True))
    assert take_picture(path) == before


@pytest.mark.parametrize("manifest", ['{"manifest_version": 3}', "{}", "[]", "not JSON"])
def test_an_export_refuses_a_folder_with_the_manifest_of_another_program(manifest, export_options, tmp_path):
    (tmp_path / "x.alta").mkdir()
    (tmp_path / "x.alta" / "manifest.json").write_text(manifest, encoding="utf-8")
    with pytest.raises(ExportError, match="replaces only what alta-export wrote"):
        check_options(export_options(output=tmp_path / "x.alta", overwrite=True))


def test_an_export_refuses_a_folder_around_its_checkpoint(bundle, export_options, checkpoint_folder, tmp_path):
    path = shutil.copytree(bundle, tmp_path / "x.alta")
    shutil.copyfile(checkpoint_folder / "model.safetensors", path / "model.safetensors")
    with pytest.raises(ExportError, match="over what is read"):
        check_options(export_options(output=path, checkpoint=path / "model.safetensors", overwrite=True))


def test_an_export_replaces_a_bundle_whose_bytes_were_changed_and_keeps_its_mode(bundle, export_options, tmp_path):
    path = shutil.copytree(bundle, tmp_path / "x.alta")
    (path / "head.npz").write_bytes(b"damaged")
    (path / "image.plan").write_bytes(b"of a build that was killed")
    (path / "image.onnx").chmod(0o640)
    export_quietly(export_options(output=path, overwrite=True))
    assert open_bundle(path).manifest.name == "x"
    assert sorted(take_picture(path)) == sorted({"manifest.json", *(f.name for f in open_bundle(path).manifest.files)})
    assert os.name == "nt" or (path / "image.onnx").stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.alta"]


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("at", ["while the new one is filled", "at the last moment"])
def test_what_comes_while_a_folder_is_made_is_not_deleted(at, can_exchange, tmp_path, monkeypatch):
    path = tmp_path / "made"
    path.mkdir()
    (path / "own").write_text("old", encoding="utf-8")
    if not can_exchange:
        monkeypatch.setattr(folders, "exchange", lambda *_: False)
    keep = folders._keep_modes
    if at == "at the last moment":
        monkeypatch.setattr(folders, "_keep_modes", lambda new, old: (add_document(old), keep(new, old)))
    with pytest.raises(FileExistsError), new_folder(path, overwrite=True, list_own=lambda _: {"own"}) as folder:
        (folder / "own").write_text("new", encoding="utf-8")
        if at != "at the last moment":
            add_document(path)
    assert (path / "own").read_text(encoding="utf-8") == "old"
    assert (path / "Documents" / "thesis.txt").read_text(encoding="utf-8") == "years of work"
    assert [entry.name for entry in tmp_path.iterdir()] == ["made"]


def test_of_two_that_make_one_folder_the_second_is_refused(tmp_path):
    own = {"list_own": lambda _: {"own"}}
    with pytest.raises(FileExistsError), new_folder(tmp_path / "made", **own) as second:
        (second / "own").write_text("second", encoding="utf-8")
        with new_folder(tmp_path / "made", **own) as first:
            (first / "own").write_text("first", encoding="utf-8")
    assert (tmp_path / "made" / "own").read_text(encoding="utf-8") == "first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["made"]


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_link_to_a_folder_stays_and_what_it_names_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "own").write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to("real")
    with new_folder(tmp_path / "link", overwrite=True, list_own=lambda _: {"own"}) as folder:
        (folder / "own").write_text("new", encoding="utf-8")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "own").read_text(encoding="utf-8") == "new"


def test_a_run_is_never_begun_in_a_folder_of_others(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    add_document(home)
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for taken in (home, tmp_path / "file"):
        for command in ("fit", "pretrain"):
            backbone = ["--backbone", DEMO / "demo.safetensors"]
            given = [command, *backbone, "--data", tmp_path / "none.csv", "--output", taken]
            result = run_training_command(*given)
            assert result.exit_code == 1 and "is not empty" in result.stderr
            assert "no state.pt" in run_training_command(*given, "--resume").stderr
    assert take_picture(home)["Documents/thesis.txt"] == b"years of work"


def test_own_files_of_a_bundle_are_those_that_its_manifest_lists(bundle, tmp_path):
    own = list_bundle_files(bundle)
    assert {entry.name for entry in bundle.iterdir()} <= own
    (tmp_path / "manifest.json").write_text(json.dumps({"files": ["thesis.txt"]}), encoding="utf-8")
    assert list_bundle_files(tmp_path) == set()
