"""The model card in a bundle: under its hashes, bounded, shown without being obeyed; engines without one as before."""

import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner

from alta_sdk import Engine, IntegrityError
from alta_sdk.cli import main
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.engine.card import ModelCard, has_card, read_card
from alta_sdk.engine.manifest import BundleFile, parse_manifest

MARKDOWN = b"---\nlicense: apache-2.0\n---\n# m\n\nAUC 0.871 (0.814 to 0.927)\n"
FIGURES = {"schema_version": 1, "name": "m", "splits": [{"split": "test", "auc": 0.871}]}


@pytest.fixture
def add_card(bundle, tmp_path):
    def add(files):
        folder = shutil.copytree(bundle, tmp_path / "copy.alta")
        manifest = parse_manifest((folder / "manifest.json").read_bytes())
        for name, data in files.items():
            (folder / name).write_bytes(data)
        listed = (*manifest.files, *(BundleFile.of(name, data) for name, data in files.items()))
        (folder / "manifest.json").write_bytes(replace(manifest, files=listed).render())
        return folder

    return add


def make_files(markdown=MARKDOWN, figures=FIGURES):
    return {"card.md": markdown, "card.json": figures if isinstance(figures, bytes) else json.dumps(figures).encode()}


def inspect(folder, *options):
    return CliRunner().invoke(main, ["inspect", str(folder), *options])


def test_the_card_is_read_as_it_was_written(add_card):
    folder = add_card(make_files())
    assert read_card(open_bundle(folder)) == ModelCard(MARKDOWN.decode(), FIGURES)
    shown = inspect(folder, "--card")
    assert (shown.exit_code, shown.stdout) == (0, MARKDOWN.decode())
    assert json.loads(inspect(folder, "--card", "--json").stdout) == FIGURES
    told = inspect(folder).stdout
    assert "model card" in told and "card.json" in told
    with Engine.open(folder, threads=1) as engine:
        assert read_card(engine.bundle).content["name"] == "m"


def test_an_engine_without_a_card_opens_and_says_that_it_has_none(bundle):
    opened = open_bundle(bundle)
    assert not has_card(opened.manifest) and read_card(opened) is None
    assert "model card" not in inspect(bundle).stdout
    refused = inspect(bundle, "--card")
    assert refused.exit_code == 1 and refused.stdout == ""
    assert refused.stderr.startswith("EngineError: engine has no model card: ") and refused.stderr.count("\n") == 1
    assert inspect(bundle, "--card", "--verify").exit_code == 2


@pytest.mark.parametrize("name", ["card.md", "card.json"])
def test_a_changed_card_is_refused_when_the_engine_opens(add_card, name):
    folder = add_card(make_files())
    data = bytearray((folder / name).read_bytes())
    data[-2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(IntegrityError, match=f"{name} was changed"):
        Engine.open(folder)
    assert inspect(folder, "--card").exit_code == 1
    (folder / name).unlink()
    with pytest.raises(IntegrityError, match=f"{name} is missing"):
        Engine.open(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (make_files(b"x" * ((1 << 20) + 1)), "card.md has more than 1 MiB"),
        (make_files(figures=b" " * ((1 << 20) + 1)), "card.json has more than 1 MiB"),
        (make_files(b"\xff"), "card.md is not UTF-8"),
        (make_files(figures=b"{"), "card.json is no model card"),
        (make_files(figures=b"[" * 100_000), "card.json is no model card"),
        (make_files(figures=[]), "card.json is no model card"),
        (make_files(figures={"schema_version": 1}), "card.json is no model card"),
        (make_files(figures={**FIGURES, "schema_version": "1"}), "card.json is no model card"),
        (make_files(figures=b'{"schema_version": 1, "name": "m", "auc": NaN}'), "card.json is no model card"),
        (make_files(figures={**FIGURES, "name": "m\x1b[2J"}), "card.json is no model card"),
        ({"card.md": MARKDOWN}, "does not list card.json"),
        ({"card.json": json.dumps(FIGURES).encode()}, "does not list card.md"),
    ],
)
def test_a_forged_card_is_an_integrity_error(add_card, files, message):
    folder = add_card(files)
    with pytest.raises(IntegrityError, match=message):
        read_card(open_bundle(folder))
    refused = inspect(folder, "--card")
    assert refused.exit_code == 1 and refused.stderr.startswith("IntegrityError: ")
    assert refused.stderr.count("\n") == 1 and refused.stdout == ""


def test_a_card_that_a_terminal_would_obey_is_spelled(add_card):
    folder = add_card(make_files("# m\x1b[2J\r\u202e forged\u2028line\n\nend".encode()))
    shown = inspect(folder, "--card").stdout
    assert shown == "# m\\x1b[2J\\r\\u202e forged\\u2028line\n\nend\n"
