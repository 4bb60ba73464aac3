"""The model card that an export takes along: found beside the checkpoint or given, of these weights and no others."""

import json

import pytest
from conftest import export_quietly

from alta_export.card import read_card_files
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.engine.card import read_card
from alta_sdk.errors import ExportError
from alta_training.families.checkpoint import Checkpoint

WEIGHTS = "ab" * 32
README = b"---\nlicense: mit\n---\n# m\n"
CONTENT = {"schema_version": 1, "name": "m", "weights_sha256": WEIGHTS, "splits": []}


@pytest.fixture
def source():
    return Checkpoint({}, {"licence": "MIT", "notice": "N."}, WEIGHTS)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "README.md").write_bytes(README)
    (tmp_path / "card.json").write_text(json.dumps(CONTENT))
    return tmp_path


def read(folder, source, given=None):
    return read_card_files(given, folder / "m.safetensors", source, "m")


def test_the_published_card_beside_the_checkpoint_is_taken_byte_by_byte(folder, source):
    assert read(folder, source) == {"card.md": README, "card.json": (folder / "card.json").read_bytes()}
    assert read_card_files(None, folder, source, "m")["card.md"] == README  # a checkpoint that is a folder


def test_a_readme_alone_is_no_card_unless_it_is_given(folder, source):
    (folder / "card.json").unlink()
    assert read(folder, source) == {}
    taken = read(folder, source, folder / "README.md")
    content = json.loads(taken["card.json"])
    assert taken["card.md"] == README and content["weights_sha256"] == WEIGHTS and content["licence"] == "MIT"
    assert "nothing of it was checked" in content["source"] and "splits" not in content


def test_a_given_card_without_a_head_gets_one(folder, source):
    (folder / "card.json").unlink()
    (folder / "other.md").write_bytes(b"# m\n")
    taken = read(folder, source, folder / "other.md")["card.md"].decode()
    assert taken.startswith("---\n") and "license: mit\n" in taken and taken.endswith("---\n# m\n")


def test_a_given_card_with_its_figures_beside_is_taken_whole(folder, source, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    taken = read_card_files(folder / "README.md", elsewhere / "m.safetensors", source, "m")
    assert json.loads(taken["card.json"]) == CONTENT


@pytest.mark.parametrize("with_given", [False, True])
def test_a_card_of_other_weights_is_refused(folder, source, with_given):
    (folder / "card.json").write_text(json.dumps({**CONTENT, "weights_sha256": "cd" * 32}))
    with pytest.raises(ExportError, match="of other weights than the checkpoint"):
        read(folder, source, folder / "README.md" if with_given else None)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("card.json", b"{", "card.json is no model card"),
        ("card.json", b"[" * (1 << 21), "card.json has more than 1 MiB"),
        ("README.md", b"x" * (1 << 21), "card.md has more than 1 MiB"),
        ("README.md", b"\xff", "card.md is not UTF-8"),
    ],
)
def test_what_is_no_card_is_refused(folder, source, name, data, message):
    (folder / name).write_bytes(data)
    with pytest.raises(ExportError, match=f"model card cannot be used: {message}"):
        read(folder, source)


def test_a_card_that_is_not_there_is_refused_without_its_folder(folder, source):
    with pytest.raises(ExportError, match=r"^nothing\.md of the model card cannot be read: No such file") as caught:
        read(folder, source, folder / "nothing.md")
    assert str(folder) not in str(caught.value)
    (folder / "README.md").unlink()
    with pytest.raises(ExportError, match=r"^README\.md of the model card cannot be read"):
        read(folder, source)


def test_an_exported_engine_holds_the_card(export_options, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    card = tmp_path / "card.md"
    card.write_bytes(README)
    for name in ("one", "other"):
        export_quietly(export_options(tmp_path / f"{name}.alta", card=card, name="m"))
    bundle = open_bundle(tmp_path / "one.alta")
    found = read_card(bundle)
    assert found.text.encode() == README and found.content["notice"] == "RANDOM TEST MODEL"
    assert bundle.manifest.sha256 == open_bundle(tmp_path / "other.alta").manifest.sha256
