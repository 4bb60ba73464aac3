"""The wheels: every room and every file that the packages need, and nothing beside them; and the demo engine's."""

import zipfile
from email import message_from_bytes
from pathlib import PurePosixPath
from types import SimpleNamespace

import pytest
from conftest import DEMO_WHEEL, ROOT, build_demo_wheel, load_program

from alta_export import pipeline
from alta_sdk import __version__

PACKAGES = {"alta_sdk": ".", "alta_runtimes": "runtimes", "alta_training": "training", "alta_export": "export"}
SHIPPED = (".py", ".css", ".html", ".sql", ".toml", ".txt", ".typed")


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def read_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_in_the_wheel(names, package):
    folder = ROOT / PACKAGES[package]
    files = {path.relative_to(folder).as_posix() for path in (folder / package).rglob("*") if path.suffix in SHIPPED}
    assert files == {name for name in names if name.startswith(f"{package}/")}
    assert f"{package}/py.typed" in names


def test_files_that_are_no_code_are_in_the_wheel(names):
    assert {"alta_sdk/report/page.html", "alta_training/data/pairing_rules.toml"} <= names
    recipes = {f"alta_training/recipes/{name}" for name in ("demo.toml", "demo-arms.toml", "demo-weights.txt")}
    assert recipes <= names


def test_the_wheel_brings_three_commands(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
        said = archive.read(name).decode()
    commands = dict(line.split(" = ") for line in said.splitlines() if " = " in line)
    assert commands == {name: f"alta_start:{name.replace('-', '_')}" for name in ("alta", "alta-export", "alta-train")}


def test_every_folder_with_code_is_a_package():
    for package, folder in PACKAGES.items():
        for path in (ROOT / folder / package).rglob("*.py"):
            assert path.with_name("__init__.py").is_file(), path


def test_nothing_else_is_in_the_wheel(names):
    assert {PurePosixPath(name).parts[0] for name in names} == {*PACKAGES, "alta_start.py"}


def test_the_demo_is_an_extra_of_the_same_version(wheel, demo_wheel):
    assert f'alta-sdk-demo=={__version__}; extra == "demo"' in read_metadata(wheel).get_all("Requires-Dist")
    told = read_metadata(demo_wheel)
    assert (told["Name"], told["Version"], told.get_all("Requires-Dist")) == ("alta-sdk-demo", __version__, None)


def test_the_demo_wheel_is_the_engine_two_radiographs_and_what_is_said_of_them(demo_wheel, demo_export):
    with zipfile.ZipFile(demo_wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    engine = {path.name: path.read_bytes() for path in (demo_export / "demo.alta").iterdir()}
    inside = {PurePosixPath(name): data for name, data in held.items()}
    assert {path.name: data for path, data in inside.items() if path.parent.name == "demo.alta"} == engine
    radiographs = {path.name: data for path, data in inside.items() if path.suffix == ".jpg"}
    assert len(radiographs) == 2
    for name, data in radiographs.items():
        assert data == (ROOT / "examples" / "data" / name).read_bytes()
        for said in ("README.md", "findings.csv"):
            assert name in held[f"alta_sdk_demo/radiographs/{said}"].decode()
    attribution = held["alta_sdk_demo/radiographs/README.md"].decode()
    assert "NIH Clinical Center" in attribution and attribution.count(".jpg") == 2
    card = (ROOT / "examples" / "models" / "demo" / "README.md").read_bytes()
    assert held["alta_sdk_demo/MODEL_CARD.md"] == card
    assert {path.name for path in inside if path.parent.name == "licenses"} == {"LICENSE", "NOTICE"}
    assert [name for name in held if name.endswith(".py")] == ["alta_sdk_demo/__init__.py"]


def test_the_same_engine_gives_the_same_wheel(demo_wheel, demo_export, tmp_path):
    again = build_demo_wheel(demo_export / "demo.alta", tmp_path, umask=0o077)
    assert again.read_bytes() == demo_wheel.read_bytes()


def test_without_an_engine_the_demo_model_is_exported(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "export_engine", lambda options, stage: SimpleNamespace(path=options))
    options = load_program(DEMO_WHEEL).export_demo(tmp_path / "demo.alta", "fp16")
    assert (options.checkpoint.name, options.precision) == ("demo.safetensors", "fp16")
    assert options.output == tmp_path / "demo.alta"
