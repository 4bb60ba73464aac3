"""What a release is made of: locks that hold what setup.py asks for, a description that stands alone, an image."""

import importlib.metadata
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import setuptools
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = {"thin": (), "service": ("service",), "openvino": ("openvino",)}
PIN = re.compile(r"^([\w.-]+)==(\S+)(?: ; ([^\\]+))? \\$", re.M)


@pytest.fixture(scope="module")
def setup():
    """What setup.py gives to setuptools."""
    given = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **told: given.update(told))
        runpy.run_path(str(ROOT / "setup.py"))
    return given


def read_lock(name):
    """Return the versions that a lock has for this machine."""
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    pins = [(found, Requirement(f"{found[1]} ; {found[3]}" if found[3] else found[1])) for found in PIN.finditer(text)]
    return {
        canonicalize_name(found[1]): found[2] for found, told in pins if told.marker is None or told.marker.evaluate()
    }


def find_needed(requirements):
    """Return the requirements, and those of what fulfils them in this environment, that hold on this machine."""
    needed, waiting = [], [(Requirement(one), ("",)) for one in requirements]
    seen = set()
    while waiting:
        requirement, extras = waiting.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        needed.append(requirement)
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) not in seen:
            seen.add((name, frozenset(requirement.extras)))
            asked = importlib.metadata.requires(name) or []
            waiting += [(Requirement(one), ("", *requirement.extras)) for one in asked]
    return needed


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_all_that_the_install_asks_for(setup, name):
    pins = read_lock(name)
    asked = setup["install_requires"] + [one for extra in LOCKS[name] for one in setup["extras_require"][extra]]
    for requirement in find_needed(asked):
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not in locks/{name}.txt: make lock"
        assert requirement.specifier.contains(version), f"{requirement} is not {version}: make lock"


@pytest.mark.parametrize("name", [*LOCKS, "build"])
def test_every_pin_has_hashes_and_is_what_was_tested(name):
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    entries = re.split(r"^(?=[a-z])", text, flags=re.M)[1:]
    assert entries
    for entry in entries:
        found = PIN.match(entry)
        assert found and re.search(r"^    --hash=sha256:[0-9a-f]{64}", entry, re.M), entry
        assert tested.get(found[1], found[2]) == found[2]


def test_what_is_added_to_the_thin_install_changes_nothing_in_it():
    thin = read_lock("thin")
    assert all(thin.items() <= read_lock(name).items() for name in LOCKS)


def test_the_build_is_locked_to_what_pyproject_asks_for():
    (asked,) = re.search(r"^requires = (.*)$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M).groups()
    requirements = [Requirement(one) for one in json.loads(asked)]
    pins = read_lock("build")
    assert all(one.specifier.contains(pins[canonicalize_name(one.name)]) for one in requirements)


def test_the_description_stands_alone(setup):
    """An index shows it where the files that README.md names by relative links are not."""
    links = re.findall(r"\]\(([^)]+)\)", setup["long_description"])
    assert len(links) > 30 and all(re.match("https://|#", link) for link in links), links
    home = setup["url"]
    inside = [link.partition("#")[0] for link in links if link.startswith(home)]
    assert len(inside) > 30
    for link in inside:
        kind, version, path = link.removeprefix(f"{home}/").split("/", 2)
        assert (kind, version) == ("raw" if path.endswith(".png") else "blob", f"v{setup['version']}")
        assert (ROOT / path).is_file(), link


def test_the_package_says_who_makes_it_and_where(setup):
    assert setup["author"]
    assert {"Changes", "Documentation", "Issues", "Source"} <= setup["project_urls"].keys()
    assert all(address.startswith(setup["url"]) for address in setup["project_urls"].values())


def read_instructions():
    """Return the instructions of the Dockerfile, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest.strip()) for name, rest in lines]


def find_stage(name):
    stages, inside = {}, None
    for instruction, rest in read_instructions():
        if instruction == "FROM":
            inside = stages.setdefault(rest.rpartition(" AS ")[2], [])
        inside.append((instruction, rest))
    return stages[name]


def test_the_image_is_built_without_a_shell_and_by_hashes():
    commands = [json.loads(rest) for name, rest in read_instructions() if name in ("RUN", "ENTRYPOINT")]
    assert commands, "each is a list, so that no shell reads it"
    installs = [command for command in commands if "install" in command]
    assert installs and all(
        {"--require-hashes", "--only-binary=:all:"} <= set(command) or {"--no-index", "--no-deps"} <= set(command)
        for command in installs
    )


@pytest.mark.parametrize("target", ["thin", "service"])
def test_the_image_runs_as_nobody_in_particular(target):
    stage = find_stage(target)
    assert ("USER", "10001:10001") in stage
    assert not [rest for name, rest in stage if name in ("RUN", "ADD")], "all that is made is copied from another stage"
    assert (("HEALTHCHECK" in dict(stage)), dict(stage)["ENTRYPOINT"]) == (target == "service", '["alta"]')


def test_what_the_image_is_built_from_is_let_through():
    """.dockerignore keeps everything out but what setup.py needs."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored and all((ROOT / name).exists() for name in let_through)
    needed = {"setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE", "alta_start.py", "locks"}
    assert let_through == needed | {"alta_sdk", "runtimes", "training", "export"}


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint absent: make")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
