"""The tree: rooms that fit a screen, tests that mirror them, documents and tools that name what is there."""

import re
import subprocess

import pytest
import yaml
from conftest import ROOT

PACKAGES = ("alta_sdk", "runtimes/alta_runtimes", "training/alta_training", "export/alta_export")
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
DOCUMENTS = ("README.md", "CONTRIBUTING.md", *PAGES)
MAX_ROOT_FILES = 6
MAX_DEPTH = 3
PATH = re.compile(r"`((?:[\w.*-]+/)+[\w.*-]*)`")  # in backticks, with a slash
MADE_UP = re.compile("NAME|ROOM")
TOP = {"alta_sdk", "runtimes", "training", "export", "examples", "benchmarks", "docs", "tests", ".ci"}


def find_rooms(package):
    return {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}


def read_makefile():
    return (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_sdk_shows_rooms_and_few_files():
    files = [path.name for path in (ROOT / "alta_sdk").iterdir() if path.is_file()]
    assert len(files) <= MAX_ROOT_FILES, files


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_is_deep(package):
    for path in (ROOT / package).rglob("__init__.py"):
        assert len(path.parent.relative_to(ROOT).parts) <= MAX_DEPTH, path


def test_unit_tests_lie_in_folders_of_the_rooms():
    rooms = find_rooms("alta_sdk") | find_rooms("training/alta_training") | {"export", "runtimes"}
    folders = {path.parent.name for path in (ROOT / "tests" / "unit").glob("*/test_*.py")}
    assert folders <= rooms


def test_contributing_shows_every_room():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for package in ("alta_sdk", "training/alta_training"):
        rows = text.partition(f"| `{package}/` |")[2].partition("\n\n")[0]
        assert set(re.findall(r"^\| `(\w+)/` \|", rows, re.M)) == find_rooms(package)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_a_document_names_are_there(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    named = {name for name in PATH.findall(text) if name.split("/")[0] in TOP and not MADE_UP.search(name)}
    linked = {link.partition("#")[0] for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)}
    assert [name for name in sorted(named) if not any(ROOT.glob(name))] == []
    assert [link for link in sorted(linked) if link and not (ROOT / document).parent.joinpath(link).exists()] == []


def test_hooks_run_what_make_lint_runs():
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", read_makefile(), re.M).group(1)
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in lint.splitlines()]
    (group,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert group["repo"] == "local", "nothing is fetched"
    assert [hook["entry"] for hook in group["hooks"]] == commands
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in group["hooks"])


def test_make_help_lists_every_target():
    shown = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = {line.split()[0] for line in shown.splitlines()}
    phony = set(re.search(r"^\.PHONY: (.*)", read_makefile(), re.M).group(1).split())
    assert listed == phony
    assert all(len(line.split()) > 1 for line in shown.splitlines())
