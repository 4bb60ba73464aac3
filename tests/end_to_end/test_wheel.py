"""The wheel: every room and every file that the packages need, and nothing beside them."""

import zipfile
from pathlib import PurePosixPath

import pytest
from conftest import ROOT

PACKAGES = {"alta_sdk": ".", "alta_runtimes": "runtimes", "alta_training": "training", "alta_export": "export"}
SHIPPED = (".py", ".html", ".toml", ".typed")


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_in_the_wheel(names, package):
    folder = ROOT / PACKAGES[package]
    files = {path.relative_to(folder).as_posix() for path in (folder / package).rglob("*") if path.suffix in SHIPPED}
    assert files == {name for name in names if name.startswith(f"{package}/")}
    assert f"{package}/py.typed" in names


def test_files_that_are_no_code_are_in_the_wheel(names):
    assert {"alta_sdk/report/page.html", "alta_training/data/pairing_rules.toml"} <= names


def test_every_folder_with_code_is_a_package():
    for package, folder in PACKAGES.items():
        for path in (ROOT / folder / package).rglob("*.py"):
            assert path.with_name("__init__.py").is_file(), path


def test_nothing_else_is_in_the_wheel(names):
    assert {PurePosixPath(name).parts[0] for name in names} == set(PACKAGES)
